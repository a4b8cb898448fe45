/*
 * Numbers, sizes, durations and rates of the configuration; see number.h. An overflow is an
 * error like any other: nothing is cut to what fits.
 */
#include "conf/number.h"

#include <inttypes.h>

static const double number_most = 1e15;

struct unit {
	const char *text;
	char kind;
	uint64_t factor;
};

/* From the largest down, so that the first that divides evenly is the shortest to write. */
static const struct unit units[] = {
	{"T", 's', (uint64_t)1 << 40},
	{"G", 's', (uint64_t)1 << 30},
	{"M", 's', 1 << 20},
	{"K", 's', 1 << 10},
	{"d", 'd', 86400000},
	{"h", 'd', 3600000},
	{"m", 'd', 60000},
	{"s", 'd', 1000},
	{"ms", 'd', 1},
	{"", 0, 1},
};

bool
number_parse(struct slice s, double *number_out, char *unit_out)
{
	bool minus = s.n != 0 && s.p[0] == '-';
	size_t i = minus, digits = 0;
	double v = 0, place = 1;
	for (; i < s.n && ascii_digit(s.p[i]); i++, digits++)
		v = v * 10 + (s.p[i] - '0');
	bool fraction = digits != 0 && i + 1 < s.n && s.p[i] == '.' && ascii_digit(s.p[i + 1]);
	if (fraction)
		for (i++; i < s.n && ascii_digit(s.p[i]); i++, digits++)
			v += (s.p[i] - '0') * (place /= 10);
	if (digits == 0 || digits > 18)
		return false;
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		if (!slice_eq(slice_from(s, i), slice_of(units[u].text)))
			continue;
		if ((minus || fraction) && units[u].kind != 0)
			return false;
		v *= (double)units[u].factor;
		if (v > number_most)
			return false;
		*number_out = minus ? -v : v;
		*unit_out = units[u].kind;
		return true;
	}
	return false;
}

bool
number_rate_parse(struct slice s, double *number_out, uint64_t *span_ms_out)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} spans[] = {
		{"second", 1000},
		{"minute", 60000},
		{"hour", 3600000},
		{"day", 86400000},
		{"week", 0},
		{"month", 0},
	};
	struct slice count, span;
	uint64_t n;
	if (!slice_cut(s, '/', &count, &span) || !slice_u64(count, &n) || n > 1000000000)
		return false;
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
		if (!slice_eq(span, slice_of(spans[i].text)))
			continue;
		*number_out = (double)n;
		*span_ms_out = spans[i].ms;
		return true;
	}
	return false;
}

static struct slice
text_of(uint64_t v, char kind, struct arena *a)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i].kind == kind && v != 0 && v % units[i].factor == 0)
			return arena_printf(
				a, "%" PRIu64 "%s", v / units[i].factor, units[i].text);
	return arena_printf(a, "%" PRIu64 "%s", v, kind == 'd' ? "s" : "");
}

struct slice
number_size_text(uint64_t bytes, struct arena *a)
{
	return text_of(bytes, 's', a);
}

struct slice
number_duration_text(uint64_t ms, struct arena *a)
{
	return text_of(ms, 'd', a);
}
