/* What was told in a run of a play, and how two runs differ; see record.h. */
#include "record.h"

#include <string.h>

static void
add(struct record *r, struct record_list *l, size_t line, struct slice text)
{
	if (l->n == l->room) {
		size_t room = l->room != 0 ? 2 * l->room : 64;
		struct record_entry *more = arena_array(r->arena, room, sizeof(*more));
		if (l->n != 0)
			memcpy(more, l->entries, l->n * sizeof(*more));
		l->entries = more;
		l->room = room;
	}
	l->entries[l->n++] = (struct record_entry){line, arena_slice(r->arena, text)};
}

void
record_reply(struct record *r, size_t line, struct slice reply)
{
	enum { CODE_AND_DASH = 4 };
	bool refuses = slice_starts(reply, SLICE("4")) || slice_starts(reply, SLICE("5"));
	add(r, &r->told, line, refuses ? reply : slice_first(reply, CODE_AND_DASH));
}

void
record_hop(struct record *r, size_t line, struct slice text, bool keep)
{
	bool folded = slice_starts(text, SLICE(" ")) || slice_starts(text, SLICE("\t"));
	if (slice_starts(text, SLICE("MAIL FROM:"))) /* its parameters are the next hop's */
		r->had_received = false;
	r->in_received = r->in_received && folded;
	if (!r->had_received && slice_starts(text, SLICE("Received:")))
		r->in_received = r->had_received = true;
	if (keep && !r->in_received)
		add(r, &r->told, line, text);
}

/* "key=value" or "key=\"quoted value\"" off the front. */
static struct slice
next_pair(struct slice *rest)
{
	size_t at = 0;
	bool quoted = false;
	for (; at < rest->n && (quoted || rest->p[at] != ' '); at++) {
		if (quoted && rest->p[at] == '\\')
			at++;
		else if (rest->p[at] == '"')
			quoted = !quoted;
	}
	struct slice pair = slice_first(*rest, at);
	*rest = slice_from(*rest, at + 1);
	return pair;
}

static bool
is_one_of(struct slice word, const char *const *words)
{
	for (; *words != NULL; words++)
		if (slice_eq(word, slice_of(*words)))
			return true;
	return false;
}

void
record_event(struct record *r, size_t line, struct slice text)
{
	static const char *const kinds[] = {"mail", "reject", "defer", "rule", "try", NULL};
	static const char *const kept[] = {"event", "direction", "client", "user", "decision",
		"line", "rule", "reply", "recipients", "sender", "from", "helo", "message-id",
		"recipient", "text", "action", NULL};
	struct slice out = SLICE_NONE, rest = text, key, value;
	next_pair(&rest); /* the time */
	while (rest.n != 0) {
		struct slice pair = next_pair(&rest);
		slice_cut(pair, '=', &key, &value);
		if (slice_eq(key, SLICE("event")) && !is_one_of(value, kinds))
			return;
		bool own_words =
			slice_eq(key, SLICE("reply")) && slice_starts(value, SLICE("\"2"));
		if (is_one_of(key, kept) && !own_words)
			out = arena_printf(
				r->arena, "%.*s %.*s", SLICE_ARG(out), SLICE_ARG(pair));
	}
	add(r, &r->events, line, slice_from(out, 1));
}

static const char *
differ(const struct record_list *a, const struct record_list *b, bool same_line,
	struct arena *arena, size_t *line_out)
{
	static const struct record_entry nothing = {0, {"nothing", 7}};
	for (size_t i = 0; i < a->n || i < b->n; i++) {
		const struct record_entry *x = i < a->n ? &a->entries[i] : &nothing;
		const struct record_entry *y = i < b->n ? &b->entries[i] : &nothing;
		if (slice_eq(x->text, y->text) && (!same_line || x->line == y->line))
			continue;
		*line_out = i < b->n ? y->line : x->line;
		return arena_printf(arena, "\n    %.*s\nnow\n    %.*s", SLICE_ARG(x->text),
			SLICE_ARG(y->text))
			.p;
	}
	return NULL;
}

const char *
record_differ(
	const struct record *a, const struct record *b, struct arena *arena, size_t *line_out)
{
	const char *told = differ(&a->told, &b->told, true, arena, line_out);
	return told != NULL ? told : differ(&a->events, &b->events, false, arena, line_out);
}
