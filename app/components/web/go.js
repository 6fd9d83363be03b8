export default function(component) {
  const { data, parentElement } = component;
  if (parentElement.gone) return;
  parentElement.gone = true;
  if (data.post) fetch(data.to, { method: 'POST' }).finally(() => location.replace('/'));
  else location.replace(data.to);
}
