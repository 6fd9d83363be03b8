"""The tax fields of lots: when they were acquired and disposed of, and for how long they were held."""

from datetime import date, timedelta


def is_long_term(acquired: date, disposed: date) -> bool:
    """Whether a holding was held for more than one year.

    The day after the acquisition is the first that counts, the day of the disposal is one of them (IRS Publication 550,
    "Holding period"; 26 USC 1222). So what was bought on 5 February 2015 is long-term from 6 February 2016 on, and what
    was bought on the last day of a month from the first of the thirteenth month on (Revenue Ruling 66-7).
    """
    first = acquired + timedelta(days=1)
    try:
        year_later = first.replace(year=first.year + 1)
    except ValueError:  # the 29th of February
        year_later = date(first.year + 1, 3, 1)
    return disposed >= year_later
