"""A publisher in C that does what redis-benchmark and valkey-benchmark do for PUBLISH with pipelines (-c, -P).

The wheel of the embedded server brings no benchmark program, so this one is compiled: one thread, some connections,
each with a buffer of finished commands that is sent again as soon as all replies to it have come.
"""

SOURCE = r"""
// publish SOCKET PASSWORD CLIENTS PIPELINE MESSAGES BYTES: prints messages a second.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void fail(const char* what) { perror(what); exit(1); }

static int opened(const char* path, const char* password) {
  struct sockaddr_un to = {.sun_family = AF_UNIX}; char text[512];
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  strncpy(to.sun_path, path, sizeof to.sun_path - 1);
  if (fd < 0 || connect(fd, (struct sockaddr*)&to, sizeof to) < 0) fail("connect");
  int n = snprintf(text, sizeof text, "*2\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n", strlen(password), password);
  if (write(fd, text, n) != n || read(fd, text, sizeof text) < 3 || text[0] != '+') fail("auth");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  int clients = atoi(argv[3]), pipeline = atoi(argv[4]), bytes = atoi(argv[6]);
  long messages = atol(argv[5]), begun = 0, done = 0;
  char head[64]; int n = snprintf(head, sizeof head, "*3\r\n$7\r\nPUBLISH\r\n$4\r\ntape\r\n$%d\r\n", bytes);
  size_t one = n + bytes + 2, size = one * pipeline;
  char* buffer = malloc(size); char replies[1 << 16];
  for (int i = 0; i < pipeline; i++) {
    char* at = buffer + i * one;
    memcpy(at, head, n); memset(at + n, 'x', bytes); memcpy(at + n + bytes, "\r\n", 2);
  }
  struct pollfd* polled = calloc(clients, sizeof *polled);
  size_t* sent = calloc(clients, sizeof *sent); int* missing = calloc(clients, sizeof *missing);
  for (int c = 0; c < clients; c++) { polled[c].fd = opened(argv[1], argv[2]); sent[c] = size; }
  double start = now();
  while (done < messages) {
    for (int c = 0; c < clients; c++) {
      if (sent[c] == size && !missing[c] && begun < messages) { sent[c] = 0; missing[c] = pipeline; begun += pipeline; }
      polled[c].events = POLLIN | (sent[c] < size ? POLLOUT : 0);
    }
    if (poll(polled, clients, 5000) <= 0) fail("poll");
    for (int c = 0; c < clients; c++) {
      if (polled[c].revents & POLLOUT) {
        ssize_t k = write(polled[c].fd, buffer + sent[c], size - sent[c]);
        if (k > 0) sent[c] += k;
      }
      if (polled[c].revents & (POLLIN | POLLHUP | POLLERR)) {
        ssize_t k = read(polled[c].fd, replies, sizeof replies);
        if (k <= 0) fail("read");
        for (ssize_t i = 0; i < k; i++) {
          if (replies[i] == '-') fail("refused");
          if (replies[i] == '\n') { missing[c]--; done++; }
        }
      }
    }
  }
  printf("%.0f\n", done / (now() - start));
  return 0;
}
"""
