/*
 * Evidence in Date: read by hand, since what is asked is how it was made, not only when. It is
 * compared with the time the mail came, or where that is not known with the newest Received.
 */
#include "base/clock.h"
#include "filters/spam_evidence_priv.h"

enum { DAY = 86400, ZONE_MOST = 14 * 60 };
static const int64_t from_1601 = 11644473600; /* seconds to 1970 */

struct date {
	int64_t seconds; /* since 1970, UTC */
	int zone;        /* minutes east */
	bool zone_odd;   /* nobody lives in it */
	bool weekday_wrong;
};

static struct slice
word(struct slice *rest)
{
	struct slice head;
	*rest = slice_trim(*rest);
	slice_cut(*rest, ' ', &head, rest);
	return head;
}

static int
name_at(struct slice s, const char *names)
{
	struct slice all = slice_of(names);
	for (size_t i = 0; s.n >= 3 && i + 3 <= all.n; i += 3)
		if (slice_eq_nocase(slice_first(s, 3), (struct slice){all.p + i, 3}))
			return (int)(i / 3);
	return -1;
}

/* "12:34:56", the seconds may be missing. */
static bool
clock_of(struct slice s, int64_t *seconds_out)
{
	uint64_t part[3] = {0};
	size_t n = 0;
	for (bool more = true; more && n < 3; n++) {
		struct slice one;
		more = slice_cut(s, ':', &one, &s);
		if (one.n < 1 || one.n > 2 || !slice_u64(one, &part[n]))
			return false;
	}
	*seconds_out = (int64_t)(part[0] * 3600 + part[1] * 60 + part[2]);
	return n >= 2 && part[0] < 24 && part[1] < 60 && part[2] < 61;
}

/* False: no zone at all. */
static bool
zone_of(struct slice s, struct date *d)
{
	uint64_t n;
	if (s.n == 5 && (s.p[0] == '+' || s.p[0] == '-') && slice_u64(slice_from(s, 1), &n)) {
		int minutes = (int)(n / 100 * 60 + n % 100);
		d->zone_odd = minutes > ZONE_MOST || n % 100 % 15 != 0 || n % 100 >= 60;
		d->zone = s.p[0] == '-' ? -minutes : minutes;
		return true;
	}
	d->zone = 0;
	return s.n >= 1 && ascii_alpha(s.p[0]);
}

static bool
date_read(struct slice s, struct date *d_out)
{
	*d_out = (struct date){0};
	int weekday = -1;
	size_t comma = slice_find(s, ',');
	if (comma < s.n) {
		weekday = name_at(slice_trim(slice_first(s, comma)), "SunMonTueWedThuFriSat");
		if (weekday < 0)
			return false;
		s = slice_from(s, comma + 1);
	}
	uint64_t day, year;
	if (!slice_u64(word(&s), &day) || day < 1 || day > 31)
		return false;
	int month = name_at(word(&s), "JanFebMarAprMayJunJulAugSepOctNovDec");
	if (month < 0 || !slice_u64(word(&s), &year) || year > 9999)
		return false;
	if (year < 100)
		year += year < 70 ? 2000 : 1900;
	int64_t seconds;
	if (!clock_of(word(&s), &seconds) || !zone_of(word(&s), d_out))
		return false;
	int64_t days = clock_days((int64_t)year, month + 1, (int64_t)day);
	d_out->weekday_wrong = weekday >= 0 && (days % 7 + 11) % 7 != weekday;
	d_out->seconds = days * DAY + seconds - (int64_t)d_out->zone * 60;
	return true;
}

/* When it came, in seconds; 0: nobody says. */
static int64_t
came(const struct spam_gather *g)
{
	if (g->w->wall_ms != 0)
		return g->w->wall_ms / 1000;
	struct slice received = g->field[SPAM_F_RECEIVED];
	size_t at = slice_find_last(received, ';');
	struct date d;
	if (at == received.n || !date_read(slice_from(received, at + 1), &d))
		return 0;
	return d.seconds;
}

/*
 * Outlook writes its clock into Message-ID, "<NNNNhhhhhhhh$llllllll$...@...>": tenths of a
 * microsecond since 1601. It is the clock that Date is of; who makes both up lets them differ.
 */
static bool
id_of_outlook(struct slice id, int64_t *seconds_out)
{
	size_t first = slice_find(id, '$'), start = id.n > 0 && id.p[0] == '<';
	if (first < start + 12 || first > start + 16 || id.n < first + 10 ||
		id.p[first + 9] != '$')
		return false;
	uint64_t ticks = 0;
	for (size_t i = first - 8; i < first + 9; i++) {
		int digit = ascii_hex(id.p[i]);
		if (i != first && digit < 0)
			return false;
		if (i != first)
			ticks = ticks << 4 | (unsigned)digit;
	}
	*seconds_out = (int64_t)(ticks / 10000000) - from_1601;
	return true;
}

void
spam_gather_date(struct spam_gather *g)
{
	struct slice value = g->field[SPAM_F_DATE];
	if (value.n == 0) {
		spam_find(g, SPAM_DATE_MISSING, SLICE_NONE);
		return;
	}
	struct date d;
	if (!date_read(value, &d)) {
		spam_find(g, SPAM_DATE_BAD, value);
		return;
	}
	if (d.weekday_wrong)
		spam_find(g, SPAM_DATE_BAD, value);
	if (d.zone_odd)
		spam_find(g, SPAM_DATE_ZONE, value);
	int64_t id;
	bool outlook = slice_starts_nocase(g->field[SPAM_F_MAILER], SLICE("Microsoft O"));
	if (outlook && id_of_outlook(g->field[SPAM_F_MESSAGE_ID], &id) &&
		(id > d.seconds + DAY || id < d.seconds - DAY))
		spam_find(g, SPAM_MUA_FORGED, g->field[SPAM_F_MESSAGE_ID]);
	int64_t now = came(g);
	if (now == 0)
		return;
	if (d.seconds > now + DAY)
		spam_find(g, SPAM_DATE_FUTURE, value);
	else if (d.seconds < now - 5 * DAY)
		spam_find(g, SPAM_DATE_OLD, value);
}
