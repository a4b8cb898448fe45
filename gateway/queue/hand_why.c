/*
 * `postern queue why`: what happens next to a mail, when, over which route, and what holds it
 * back; see hand_item.h. What is stored says what has been, the schedule what comes, the
 * settings and the egress state which way; a sentence is written only where one of them says
 * so.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/map.h"
#include "base/must.h"
#include "queue/dsn.h"
#include "queue/hand_item.h"
#include "queue/hand_words.h"

enum { NAMES_MOST = 20, LINE_MOST = 2048 };

struct group { /* recipients that share their fate */
	uint32_t first, n;
	uint32_t part; /* of those that are open */
	uint32_t rcpts[NAMES_MOST];
};

struct writer {
	const struct hand_why *w;
	struct arena *arena;
	struct buf *out;
	bool cut;
};

static const char cut_text[] = "... and more: the rest is left out\n";

/* Words of strangers are printed with everything that is not printable as '?'. */
static void line(struct writer *wr, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
line(struct writer *wr, const char *fmt, ...)
{
	char text[LINE_MOST];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	must(n >= 0);
	size_t used = (size_t)n < sizeof(text) - 1 ? (size_t)n : sizeof(text) - 2;
	for (size_t i = 0; i < used; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	text[used++] = '\n';
	if (wr->cut)
		return;
	if (buf_left(wr->out) < used + sizeof(cut_text)) {
		wr->cut = true;
		buf_add_text(wr->out, cut_text);
		return;
	}
	buf_add(wr->out, (struct slice){text, used});
}

static uint64_t
wall_of(const struct hand_why *w, uint64_t mono_ms)
{
	return mono_ms <= w->now_ms ? w->wall_ms : w->wall_ms + (mono_ms - w->now_ms);
}

/* "in 12 min (2026-11-29T07:14:08Z)", or "now". */
static struct slice
at_text(struct writer *wr, uint64_t wall_ms)
{
	char span[HAND_SPAN_BYTES], time[HAND_TIME_BYTES];
	if (wall_ms <= wr->w->wall_ms)
		return SLICE("now");
	return arena_printf(wr->arena, "%s (%s)", hand_until(wall_ms, wr->w->wall_ms, span),
		hand_time(wall_ms, time));
}

static struct slice
ago_text(struct writer *wr, uint64_t wall_ms)
{
	char span[HAND_SPAN_BYTES], time[HAND_TIME_BYTES];
	uint64_t now = wr->w->wall_ms;
	return arena_printf(wr->arena, "%s ago (%s)",
		hand_span(wall_ms < now ? now - wall_ms : 0, span), hand_time(wall_ms, time));
}

/* ---- the mail ---- */

static void
write_mail(struct writer *wr)
{
	const struct stored_mail *m = wr->w->mail;
	char id[CUSTODY_ID_TEXT];
	line(wr, "mail %s: %s from <%.*s>, %" PRIu64 " bytes, %zu recipient%s",
		custody_id_text(&wr->w->id, id),
		m->direction == INBOUND ? "inbound" : "outbound", SLICE_ARG(m->sender.text),
		wr->w->bytes, m->n_rcpts, m->n_rcpts == 1 ? "" : "s");
	line(wr, "  arrived %.*s%s", SLICE_ARG(ago_text(wr, m->arrived_ms)),
		m->notification ? "; it is a notice of our own" : "");
}

/* True: nothing else happens until then. */
static bool
write_hold(struct writer *wr)
{
	const struct stored_mail *m = wr->w->mail;
	if (wr->w->note->expire) {
		line(wr, "  given up by hand: at its next step it ends as if its time were "
			 "over");
		return true;
	}
	if (wr->w->note->held) {
		line(wr, "  held by hand: nothing is tried until `postern queue release`");
		return true;
	}
	if (m->kind == STORED_QUARANTINE) {
		line(wr,
			"  in the quarantine \"%.*s\" by %.*s: stays there until somebody "
			"releases or drops it",
			SLICE_ARG(m->quarantine), SLICE_ARG(m->reason));
		if (wr->w->settings->queue.quarantine_ms != 0)
			line(wr, "  dropped from there: %.*s",
				SLICE_ARG(at_text(wr,
					m->arrived_ms + wr->w->settings->queue.quarantine_ms)));
		return true;
	}
	if (m->kind == STORED_HOLD && m->hold_until_ms > wr->w->wall_ms) {
		line(wr, "  held by %.*s: goes on its way %.*s", SLICE_ARG(m->reason),
			SLICE_ARG(at_text(wr, m->hold_until_ms)));
		return true;
	}
	return false;
}

/* ---- a group of recipients ---- */

static struct slice
names_text(struct writer *wr, const struct group *g)
{
	struct slice s = SLICE_NONE;
	uint32_t shown = g->n < NAMES_MOST ? g->n : NAMES_MOST;
	for (uint32_t i = 0; i < shown; i++)
		s = arena_printf(wr->arena, "%.*s%s%.*s", SLICE_ARG(s), i == 0 ? "" : ", ",
			SLICE_ARG(wr->w->mail->rcpts[g->rcpts[i]].address.text));
	if (g->n > shown)
		s = arena_printf(wr->arena, "%.*s and %u more", SLICE_ARG(s), g->n - shown);
	return s;
}

static struct slice
route_text(struct writer *wr, const struct stored_rcpt *r, const struct stored_rcpt_note *n)
{
	const struct hand_why *w = wr->w;
	switch (n->way) {
	case DELIVERY_BY_DOMAIN:
		return arena_printf(
			wr->arena, "`deliver to` of the domain %.*s", SLICE_ARG(r->site));
	case DELIVERY_BY_ROUTE:
		return arena_printf(
			wr->arena, "`route to \"%.*s\"`", SLICE_ARG(w->mail->route));
	case DELIVERY_BY_SMARTHOST: return SLICE("the smarthost");
	case DELIVERY_BY_SEND: break;
	case DELIVERY_WAYS: must(false);
	}
	if (w->settings->way == SEND_SMARTHOST)
		return SLICE("the smarthost");
	if (w->settings->way == SEND_DIRECT_THEN_SMARTHOST && w->egress != EGRESS_OPEN)
		return arena_printf(wr->arena, "the smarthost, since the way out is %s",
			egress_state_text(w->egress));
	if (n->address.family != 0) {
		char ip[IP_TEXT_BYTES];
		return arena_printf(wr->arena, "the MX of %.*s, %.*s again (it greylists us)",
			SLICE_ARG(r->site), SLICE_ARG(ip_text(&n->address, ip)));
	}
	return arena_printf(wr->arena, "the MX of %.*s", SLICE_ARG(r->site));
}

static void
write_last(struct writer *wr, const struct stored_rcpt_note *n)
{
	if (n->attempts == 0) {
		line(wr, "  last: not tried yet");
		return;
	}
	struct slice words =
		n->reply.code != 0 ? smtp_reply_line(&n->reply, wr->arena) : SLICE("no reply");
	line(wr, "  last: attempt %u, %.*s, at %s: %.*s%s\"%.*s\" (%s, %s)", n->attempts,
		SLICE_ARG(ago_text(wr, n->last_ms)), failure_phase_text(n->at),
		SLICE_ARG(n->host),
		n->from_hop      ? " said "
		: n->host.n != 0 ? ": "
				 : "",
		SLICE_ARG(words), failure_class_text(n->failure.class),
		n->failure.permanent ? "for good" : "for now");
}

/* The schedule's site: the smarthosts, a route and a domain's next hops are one each. */
static struct slice
place_text(struct writer *wr, const struct stored_rcpt *r, const struct stored_rcpt_note *n)
{
	switch (n->way) {
	case DELIVERY_BY_SMARTHOST: return SLICE("the smarthost");
	case DELIVERY_BY_ROUTE: return SLICE("that route");
	case DELIVERY_BY_DOMAIN:
		return arena_printf(wr->arena, "the next hop of %.*s", SLICE_ARG(r->site));
	case DELIVERY_BY_SEND:
	case DELIVERY_WAYS: break;
	}
	return arena_printf(wr->arena, "the site of %.*s", SLICE_ARG(r->site));
}

/* What stands between this part and its next attempt. */
static void
write_holds(struct writer *wr, struct slice place, const struct schedule_why *y)
{
	const struct hand_why *w = wr->w;
	if (y->site_until_ms > w->now_ms)
		line(wr, "  held back: %.*s backs off (failures in a row: %u), again %.*s",
			SLICE_ARG(place), y->site_failures,
			SLICE_ARG(at_text(wr, wall_of(w, y->site_until_ms))));
	if (y->rate_until_ms > w->now_ms)
		line(wr, "  held back: the rate of %.*s is used up, again %.*s",
			SLICE_ARG(place), SLICE_ARG(at_text(wr, wall_of(w, y->rate_until_ms))));
	if (y->site_in_flight >= y->site_window && y->site_window > 0)
		line(wr, "  held back: attempts under way at %.*s: %u of %u at once",
			SLICE_ARG(place), y->site_in_flight, y->site_window);
	if (y->before > 0)
		line(wr, "  held back: before it, due at %.*s: %zu%s", SLICE_ARG(place),
			y->before, y->before < SCHEDULE_BEFORE_MOST ? "" : " or more");
	if (y->all_taken)
		line(wr, "  held back: all attempts of the gateway are taken");
}

static void
write_next(struct writer *wr, const struct group *g)
{
	const struct hand_why *w = wr->w;
	const struct stored_rcpt *r = &w->mail->rcpts[g->first];
	const struct stored_rcpt_note *n = &w->note->rcpts[g->first];
	struct slice route = route_text(wr, r, n);
	struct schedule_why y;
	schedule_why(w->schedule, &w->id, g->part, w->now_ms, &y);
	if (!y.known) {
		line(wr, "  next: not planned yet; it was due %.*s",
			SLICE_ARG(at_text(wr, n->due_ms)));
		return;
	}
	if (y.in_flight) {
		line(wr, "  next: an attempt is under way, by %.*s", SLICE_ARG(route));
		return;
	}
	uint64_t due = y.due_ms > y.site_until_ms ? y.due_ms : y.site_until_ms;
	due = due > y.rate_until_ms ? due : y.rate_until_ms;
	line(wr, "  next: an attempt %.*s, by %.*s", SLICE_ARG(at_text(wr, wall_of(w, due))),
		SLICE_ARG(route));
	write_holds(wr, place_text(wr, r, n), &y);
	if (w->egress != EGRESS_OPEN && n->way == DELIVERY_BY_SEND &&
		w->settings->way == SEND_DIRECT)
		line(wr, "  beware: the way out is %s (`postern doctor` shows the evidence)",
			egress_state_text(w->egress));
}

/* As settle.c will do it. */
static void
write_end(struct writer *wr, const struct stored_rcpt *r)
{
	const struct stored_mail *m = wr->w->mail;
	uint64_t lifetime = wr->w->settings->queue.lifetime_ms;
	uint64_t from = m->kind == STORED_HOLD ? m->hold_until_ms : m->arrived_ms;
	const char *then = !m->own ? "it is put into the quarantine `undeliverable`"
			   : dsn_is_due(m, r, DSN_FAILED)
				   ? "its sender is told"
				   : "nobody is told: its sender wants, or has, no notices";
	line(wr, "  given up: %.*s; then %s", SLICE_ARG(at_text(wr, from + lifetime)), then);
}

static bool
is_tried_on(const struct stored_rcpt_note *n)
{
	return n->state == RCPT_WAITING || n->state == RCPT_DOUBT;
}

static void
write_group(struct writer *wr, const struct group *g, bool held)
{
	static const char *const states[RCPT_STATES] = {
		[RCPT_WAITING] = "waiting",
		[RCPT_DELIVERED] = "delivered",
		[RCPT_FAILED] = "failed for good, the sender is told next",
		[RCPT_TOLD] = "failed for good, the sender knows",
		[RCPT_DOUBT] = "in doubt: the mail went out and no answer came",
	};
	const struct stored_rcpt_note *n = &wr->w->note->rcpts[g->first];
	line(wr, "recipient%s %.*s: %s", g->n == 1 ? "" : "s", SLICE_ARG(names_text(wr, g)),
		states[n->state]);
	write_last(wr, n);
	if (is_tried_on(n) && !held) {
		write_next(wr, g);
		write_end(wr, &wr->w->mail->rcpts[g->first]);
	}
}

/* Recipients of one part, in one state, with the same last words, are told of together. */
static struct slice
group_key(struct writer *wr, const struct stored_rcpt_note *n, uint32_t part)
{
	return arena_printf(wr->arena, "%d %u %u %d %.*s", n->state, part, n->attempts,
		n->reply.code, SLICE_ARG(n->reply.text));
}

/* The keeper counts the parts from the front, so it is asked once for each, in that order. */
static void
add_to_group(struct writer *wr, struct map *groups, uint32_t i)
{
	const struct hand_why *w = wr->w;
	const struct stored_rcpt_note *n = &w->note->rcpts[i];
	uint32_t part = is_tried_on(n) ? w->part_of(w->arg, w->mail, w->note, i) : 0;
	struct slice key = group_key(wr, n, part);
	struct group *g = map_get(groups, key);
	if (g == NULL) {
		g = ARENA_NEW(wr->arena, struct group);
		g->first = i;
		g->part = part;
		map_put(groups, key, g);
	}
	if (g->n < NAMES_MOST)
		g->rcpts[g->n] = i;
	g->n++;
}

void
hand_why_write(const struct hand_why *w, struct arena *a, struct buf *out)
{
	struct writer wr = {w, a, out, false};
	struct map *groups = map_new(a, false);
	void *value;
	struct slice key;
	must(w->note->n_rcpts == w->mail->n_rcpts);
	write_mail(&wr);
	bool held = write_hold(&wr);
	for (uint32_t i = 0; i < w->mail->n_rcpts; i++)
		add_to_group(&wr, groups, i);
	for (size_t i = 0; map_at(groups, i, &key, &value); i++)
		write_group(&wr, value, held);
}
