/*
 * From an answer to libmilter's calls; see answer.h. Replies have the very lines that our own
 * engine puts on the wire, so that both fronts say the same.
 */
#include "through/answer.h"

#include <libmilter/mfapi.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"

enum { LINES_MOST = 32 /* of the library */, EDIT_MOST = 256 * 1024 };

/* The library wants code, enhanced code and each line by itself. The lines of `wire` are cut
 * there. */
static size_t
cut_lines(struct slice wire, size_t prefix, struct arena *a, char *lines_out[LINES_MOST])
{
	struct slice rest = wire, line;
	size_t n = 0;
	while (rest.n != 0 && n < LINES_MOST) {
		slice_cut(rest, '\n', &line, &rest);
		if (slice_ends(line, SLICE("\r")))
			line.n--;
		lines_out[n++] = arena_text(a, slice_from(line, prefix));
	}
	return n;
}

/*
 * Unused places are NULL: the first one ends the list. Where a reply of several lines has no
 * enhanced code the library adds X.0.0; of a single line it takes none.
 */
static void
set_lines(SMFICTX *ctx, char *code, char *enhanced, char *l[LINES_MOST])
{
	if (l[1] == NULL) {
		(void)smfi_setreply(ctx, code, enhanced, l[0]);
		return;
	}
	(void)smfi_setmlreply(ctx, code, enhanced, l[0], l[1], l[2], l[3], l[4], l[5], l[6],
		l[7], l[8], l[9], l[10], l[11], l[12], l[13], l[14], l[15], l[16], l[17], l[18],
		l[19], l[20], l[21], l[22], l[23], l[24], l[25], l[26], l[27], l[28], l[29],
		l[30], l[31], (char *)NULL);
}

/* A reply that the library does not take leaves its own words for 4yz or 5yz. */
static sfsistat
say_reply(SMFICTX *ctx, const struct smtp_reply *r)
{
	char code[16], enhanced[24] = "", *lines[LINES_MOST] = {NULL};
	struct arena *a = arena_new(8 * (size_t)SMTP_REPLY_BYTES_MOST);
	struct buf wire;
	buf_init(&wire, 2 * (size_t)SMTP_REPLY_BYTES_MOST);
	snprintf(code, sizeof(code), "%d", r->code);
	if (r->has_enhanced)
		snprintf(enhanced, sizeof(enhanced), "%u.%u.%u", (unsigned)r->enhanced[0],
			(unsigned)r->enhanced[1], (unsigned)r->enhanced[2]);
	milter_reply_write(r, &wire);
	size_t prefix = strlen("NNN ") + (r->has_enhanced ? strlen(enhanced) + 1 : 0);
	if (cut_lines(buf_slice(&wire), prefix, a, lines) != 0)
		set_lines(ctx, code, r->has_enhanced ? enhanced : NULL, lines);
	buf_fini(&wire);
	arena_free(&a);
	return r->code >= 500 ? SMFIS_REJECT : SMFIS_TEMPFAIL;
}

static bool
say_edit(SMFICTX *ctx, const struct milter_edit *e, struct arena *a)
{
	char *name = arena_text(a, e->name), *value = arena_text(a, e->value);
	switch (e->kind) {
	case MILTER_EDIT_INSERT_HEADER:
		return smfi_insheader(ctx, (int)e->index, name, value) == MI_SUCCESS;
	case MILTER_EDIT_DELETE_HEADER:
		return smfi_chgheader(ctx, name, (int)e->index, NULL) == MI_SUCCESS;
	case MILTER_EDIT_ADD_RCPT: return smfi_addrcpt(ctx, value) == MI_SUCCESS;
	case MILTER_EDIT_DELETE_RCPT: return smfi_delrcpt(ctx, value) == MI_SUCCESS;
	case MILTER_EDIT_QUARANTINE: return smfi_quarantine(ctx, value) == MI_SUCCESS;
	case MILTER_EDITS: break;
	}
	return false;
}

static sfsistat
say_edits(SMFICTX *ctx, const struct milter_answer *answer)
{
	bool all = true;
	struct arena *a = arena_new(EDIT_MOST);
	for (size_t i = 0; i < answer->n_edits && all; i++) {
		all = say_edit(ctx, &answer->edits[i], a);
		arena_reset(a);
	}
	arena_free(&a);
	return all ? SMFIS_CONTINUE : SMFIS_TEMPFAIL;
}

int
answer_say(
	void *ctx, enum milter_event_type type, const struct milter_answer *a, uint32_t steps)
{
	bool end = type == MILTER_EV_END;
	switch (a->verdict) {
	case MILTER_CONTINUE: return end ? say_edits(ctx, a) : SMFIS_CONTINUE;
	case MILTER_ACCEPT: return SMFIS_ACCEPT;
	case MILTER_REPLY: return say_reply(ctx, &a->reply);
	case MILTER_DISCARD: return SMFIS_DISCARD;
	case MILTER_SKIP:
		return type == MILTER_EV_BODY && (steps & MILTER_SKIP_BODY) != 0
			       ? SMFIS_SKIP
			       : SMFIS_CONTINUE;
	}
	return SMFIS_TEMPFAIL;
}
