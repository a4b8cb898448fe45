/*
 * When a mail came, out of its header: the date of the topmost Received, else Date (RFC 5322
 * 3.3, with the obsolete forms of 4.3). Reads as loosely as old mails need. Pure.
 */
#ifndef MAIN_MAIL_DATE_H
#define MAIN_MAIL_DATE_H

#include <stdint.h>

#include "base/slice.h"

/* Milliseconds since 1970, or -1: no date. "Sat, 1 Jan 2005 09:05:00 +0100 (CET)". */
int64_t mail_date(struct slice text);
/* "2005-01-01T09:05:00", with or without a Z behind it, as UTC. */
int64_t mail_date_iso(struct slice text);

struct mail_dates {
	int64_t received, date; /* -1: there is none, or it does not parse */
};
/* Of a mail, or the first bytes of one, with LF or CRLF. */
struct mail_dates mail_dates_of(struct slice mail);

#endif
