/*
 * Dates of mails; see mail_date.h. `postern spam test` puts mails in the order in which they
 * came, since what a filter has been taught is only what came before.
 */
#include "main/mail_date.h"

#include "base/clock.h"

static bool
number(struct slice *s, size_t least, size_t most, int64_t *value_out)
{
	size_t n = 0;
	*value_out = 0;
	while (n < s->n && n < most && ascii_digit(s->p[n]))
		*value_out = *value_out * 10 + (s->p[n++] - '0');
	*s = slice_from(*s, n);
	return n >= least;
}

static bool
sign(struct slice *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_from(*s, 1);
	return true;
}

/* Three letters of a table, at the front; -1: none of them. */
static int
one_of(struct slice *s, const char *table)
{
	for (int i = 0; table[3 * i] != '\0'; i++) {
		if (!slice_starts_nocase(*s, (struct slice){table + 3 * (size_t)i, 3}))
			continue;
		*s = slice_from(*s, 3);
		while (s->n != 0 && ascii_alpha(s->p[0])) /* "June", "Sunday" */
			*s = slice_from(*s, 1);
		return i;
	}
	return -1;
}

static int64_t
ms_of(int64_t days, int64_t hour, int64_t minute, int64_t second, int64_t zone_minutes)
{
	return (((days * 24 + hour) * 60 + minute - zone_minutes) * 60 + second) * 1000;
}

static bool
is_date(int64_t year, int64_t month, int64_t day)
{
	return year >= 1970 && year < 10000 && month >= 1 && month <= 12 && day >= 1 &&
	       day <= 31;
}

/* Minutes east; what is not known is UTC (RFC 5322 4.3). */
static int64_t
zone_of(struct slice s)
{
	static const char names[] = "ESTEDTCSTCDTMSTMDTPSTPDT";
	static const int hours[] = {-5, -4, -6, -5, -7, -6, -8, -7};
	bool west = sign(&s, '-');
	int64_t hour, minute;
	if (west || sign(&s, '+')) {
		if (!number(&s, 2, 2, &hour) || !number(&s, 2, 2, &minute) || minute > 59)
			return 0;
		return west ? -(hour * 60 + minute) : hour * 60 + minute;
	}
	int i = one_of(&s, names);
	return i >= 0 ? 60 * hours[i] : 0;
}

/* "09:05" or "09:05:00" */
static bool
time_of(struct slice *s, int64_t *hour, int64_t *minute, int64_t *second)
{
	*second = 0;
	if (!number(s, 1, 2, hour) || !sign(s, ':') || !number(s, 1, 2, minute))
		return false;
	if (sign(s, ':') && !number(s, 1, 2, second))
		return false;
	return *hour < 24 && *minute < 60 && *second < 62;
}

int64_t
mail_date(struct slice s)
{
	int64_t day, year, hour, minute, second;
	s = slice_trim(s);
	if (one_of(&s, "MonTueWedThuFriSatSun") >= 0) {
		sign(&s, ',');
		s = slice_trim(s);
	}
	bool dayed = number(&s, 1, 2, &day);
	sign(&s, '-');
	s = slice_trim(s);
	int month = dayed ? one_of(&s, "JanFebMarAprMayJunJulAugSepOctNovDec") : -1;
	sign(&s, '-');
	s = slice_trim(s);
	size_t digits = s.n;
	if (month < 0 || !number(&s, 2, 4, &year))
		return -1;
	digits -= s.n;
	if (digits < 4) /* RFC 5322 4.3 */
		year += digits == 2 && year < 50 ? 2000 : 1900;
	s = slice_trim(s);
	if (!is_date(year, month + 1, day) || !time_of(&s, &hour, &minute, &second))
		return -1;
	return ms_of(
		clock_days(year, month + 1, day), hour, minute, second, zone_of(slice_trim(s)));
}

int64_t
mail_date_iso(struct slice s)
{
	int64_t year, month, day, hour = 0, minute = 0, second = 0;
	if (!number(&s, 4, 4, &year) || !sign(&s, '-') || !number(&s, 2, 2, &month) ||
		!sign(&s, '-') || !number(&s, 2, 2, &day) || !is_date(year, month, day))
		return -1;
	if ((sign(&s, 'T') || sign(&s, ' ')) && !time_of(&s, &hour, &minute, &second))
		return -1;
	return ms_of(clock_days(year, month, day), hour, minute, second, 0);
}

/* The value of a field whose first line is `line`; *rest moves behind it. */
static struct slice
value_of(struct slice line, size_t name_bytes, struct slice *rest)
{
	struct slice more, value = {line.p + name_bytes, line.n - name_bytes};
	while (rest->n != 0 && (rest->p[0] == ' ' || rest->p[0] == '\t')) {
		slice_cut(*rest, '\n', &more, rest);
		value.n = (size_t)(more.p + more.n - value.p);
	}
	return value;
}

struct mail_dates
mail_dates_of(struct slice mail)
{
	static const struct slice received = SLICE("Received:"), date = SLICE("Date:");
	struct mail_dates d = {-1, -1};
	struct slice line, rest = mail;
	bool any = false, came = false, sent = false;
	while (rest.n != 0 && !(came && sent)) {
		slice_cut(rest, '\n', &line, &rest);
		if (slice_trim(line).n == 0 && any)
			break;
		any = any || slice_trim(line).n != 0;
		if (!came && slice_starts_nocase(line, received)) {
			struct slice value = value_of(line, received.n, &rest);
			size_t at = slice_find_last(value, ';');
			d.received = mail_date(slice_from(value, at + 1));
			came = true;
		} else if (!sent && slice_starts_nocase(line, date)) {
			d.date = mail_date(value_of(line, date.n, &rest));
			sent = true;
		}
	}
	return d;
}
