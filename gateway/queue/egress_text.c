/*
 * The evidence of the egress state in words, for the alarm and for `postern doctor`: what is
 * wrong, at which destinations it was seen, and what the re-tests have shown since.
 */
#include <string.h>

#include "base/buf.h"
#include "queue/egress_priv.h"

enum { TEXT_SITES = 10, TEXT_BYTES = 8192 };

static unsigned long long
minutes(uint64_t ms)
{
	return (unsigned long long)(ms / MINUTE);
}

static void
text_open(const struct egress *e, uint64_t now_ms, struct buf *out)
{
	unsigned known = 0, reached = 0, unreachable = 0, listed = 0, gone = 0;
	for (size_t i = 0; i < SITES; i++) {
		const struct seen *x = &e->sites[i];
		known += x->domain != 0;
		reached += within(x->reached_ms, now_ms, HOUR);
		unreachable += within(x->unreachable_ms, now_ms, HOUR);
		listed += within(x->listed_ms, now_ms, HOUR);
		gone += within(x->gone_ms, now_ms, HOUR);
	}
	buf_printf(out,
		"open: of %u destinations known, in the last hour %u were reached, %u were "
		"unreachable, %u refused our address, %u had lost STARTTLS\n",
		known, reached, unreachable, listed, gone);
}

static bool
text_site(const struct egress *e, const struct seen *x, uint64_t now_ms, struct buf *out)
{
	switch (e->state) {
	case EGRESS_BLOCKED:
		if (x->unreachable_ms == 0)
			return false;
		buf_printf(out, "%s: unreachable %llu min ago, ", x->name,
			minutes(now_ms - x->unreachable_ms));
		if (x->reached_ms != 0)
			buf_printf(
				out, "reached %llu min ago\n", minutes(now_ms - x->reached_ms));
		else
			buf_add_text(out, "never reached\n");
		return true;
	case EGRESS_LISTED:
		if (x->listed_ms == 0)
			return false;
		buf_printf(out, "%s: refused our address %llu min ago, as \"%s\"\n", x->name,
			minutes(now_ms - x->listed_ms), x->greeting);
		return true;
	case EGRESS_INTERCEPTED:
		if (!(e->bad_banner != 0 && x->banner == e->bad_banner) &&
			!(e->bad_certificate != 0 && x->certificate == e->bad_certificate) &&
			x->gone_ms == 0)
			return false;
		buf_printf(out, "%s: answers as \"%s\"", x->name, x->greeting);
		if (strcmp(x->greeting, x->greeting_first) != 0)
			buf_printf(out, ", before as \"%s\"", x->greeting_first);
		buf_add_text(out, x->gone_ms != 0 ? ", without STARTTLS\n" : "\n");
		return true;
	case EGRESS_OPEN:
	case EGRESS_STATES: break;
	}
	return false;
}

static void
text_bad(const struct egress *e, uint64_t now_ms, struct buf *out)
{
	static const char *const why[EGRESS_STATES] = {
		[EGRESS_BLOCKED] = "unrelated destinations cannot be reached, and no other has "
				   "been since",
		[EGRESS_INTERCEPTED] = "one machine answers for unrelated destinations",
		[EGRESS_LISTED] = "unrelated destinations refuse our address",
	};
	const char *what = why[e->state];
	if (e->state == EGRESS_INTERCEPTED && e->bad_certificate != 0)
		what = "one certificate is shown for unrelated destinations";
	else if (e->state == EGRESS_INTERCEPTED && e->bad_banner == 0)
		what = "STARTTLS is gone at unrelated destinations that had it";
	buf_printf(out, "%s for %llu min: %s\n", egress_state_text(e->state),
		minutes(now_ms - e->since_ms), what);
	unsigned told = 0, more = 0;
	for (size_t i = 0; i < SITES; i++) {
		if (told < TEXT_SITES) {
			told += text_site(e, &e->sites[i], now_ms, out);
			continue;
		}
		struct buf none;
		buf_init(&none, TEXT_BYTES);
		more += text_site(e, &e->sites[i], now_ms, &none);
		buf_fini(&none);
	}
	if (more != 0)
		buf_printf(out, "and %u more\n", more);
	struct group g;
	group_find(e, sign_passed, now_ms, &g);
	buf_printf(
		out, "re-tests passed at %zu of %d unrelated destinations, ", g.n, OPEN_SITES);
	if (e->retest_ms > now_ms)
		buf_printf(out, "the next in %llu min\n", minutes(e->retest_ms - now_ms) + 1);
	else
		buf_add_text(out, "the next with the next mail\n");
}

struct slice
egress_text(const struct egress *e, uint64_t now_ms, struct arena *a)
{
	struct buf out;
	buf_init(&out, TEXT_BYTES);
	if (e->state == EGRESS_OPEN)
		text_open(e, now_ms + 1, &out);
	else
		text_bad(e, now_ms + 1, &out);
	struct slice text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}
