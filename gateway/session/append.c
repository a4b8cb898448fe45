/*
 * Between the decisions and the signature: what a plan of the scanner (base/append_plan.h)
 * means for the bytes that leave; see append.h.
 */
#include "session/append.h"

#include <string.h>

#include "session/edits.h"

enum { READ_BYTES = 64 * 1024 };

bool
append_is_used(const struct policy *p)
{
	for (size_t i = 0; i < policy_rules(p); i++)
		if (policy_rule(p, i)->action == ACTION_APPEND && !policy_rule(p, i)->try_only)
			return true;
	return false;
}

/* --- the texts */

/* The text as HTML, where a rule has none of its own: its lines, in a paragraph. */
static void
add_as_html(struct slice text, struct buf *out)
{
	(void)buf_add_text(out, "<p>");
	for (size_t i = 0; i < text.n; i++) {
		switch (text.p[i]) {
		case '&': (void)buf_add_text(out, "&amp;"); break;
		case '<': (void)buf_add_text(out, "&lt;"); break;
		case '>': (void)buf_add_text(out, "&gt;"); break;
		case '\n': (void)buf_add_text(out, i + 1 < text.n ? "<br>\n" : "</p>\n"); break;
		default: (void)buf_add_byte(out, text.p[i]);
		}
	}
}

/* False: there is none. In the order of the rules, a blank line between them. */
static bool
add_texts(const struct verdict *v, struct buf *text, struct buf *html, bool *fits_out)
{
	bool any = false;
	*fits_out = true;
	for (size_t i = 0; i < v->n_effects; i++) {
		const struct rule *r = v->effects[i];
		if (r->action != ACTION_APPEND)
			continue;
		size_t before = html->used;
		*fits_out = *fits_out && (!any || buf_add_text(text, "\n") == 0) &&
			    buf_add(text, r->text) == 0;
		if (r->html.n != 0)
			*fits_out = *fits_out && buf_add(html, r->html) == 0;
		else
			add_as_html(r->text, html);
		*fits_out = *fits_out && html->used > before && buf_left(html) > 0;
		any = true;
	}
	return any;
}

/* --- the plan, among the cuts */

static bool
overlaps(const struct cut *c, const struct append_splice *s)
{
	return s->cut != 0 && s->at < c->at + c->bytes && c->at < s->at + s->cut;
}

/* In their order; the field that a rule takes out is not written anew. */
static bool
merge(const struct append_plan *plan, struct arena *a, struct edits *e)
{
	struct cut *cuts = arena_array(a, e->n_cuts + plan->n, sizeof(*cuts));
	size_t n = 0, k = 0;
	for (size_t i = 0; i < plan->n; i++)
		for (size_t c = 0; c < e->n_cuts; c++)
			if (overlaps(&e->cuts[c], &plan->splices[i]))
				return false;
	for (size_t i = 0; i < plan->n; i++) {
		const struct append_splice *s = &plan->splices[i];
		while (k < e->n_cuts && e->cuts[k].at < s->at)
			cuts[n++] = e->cuts[k++];
		cuts[n++] = (struct cut){.at = s->at, .bytes = s->cut, .insert = s->insert};
	}
	while (k < e->n_cuts)
		cuts[n++] = e->cuts[k++];
	e->cuts = cuts;
	e->n_cuts = n;
	return true;
}

static bool
too_large(const struct append_plan *plan, uint64_t bytes, uint64_t most)
{
	for (size_t i = 0; i < plan->n; i++)
		bytes += plan->splices[i].insert.n;
	return bytes > most;
}

static enum append_outcome
carry_out(const struct append_plan *plan, const struct flt_mail *mail, uint64_t header_bytes,
	uint64_t most, struct arena *a, struct edits *e, struct slice *why_out)
{
	if (plan->status == APPEND_FAILED)
		return APPEND_DEFERS;
	if (plan->status == APPEND_NOT)
		*why_out = plan->why;
	else if (too_large(plan, mail->bytes, most))
		*why_out = SLICE("it would be larger than \"mail size\"");
	else if (!merge(plan, a, e))
		*why_out = SLICE("a rule removes a field that would have to be written anew");
	else
		e->body_at = header_bytes;
	return APPEND_MADE;
}

enum append_outcome
append_to(struct facts *facts, const struct verdict *v, const struct flt_mail *mail,
	uint64_t header_bytes, uint64_t most, struct arena *a, struct edits *e,
	struct slice *why_out)
{
	struct buf text, html;
	bool fits;
	*why_out = SLICE_NONE;
	buf_init(&text, APPEND_TEXT_MOST);
	buf_init(&html, APPEND_TEXT_MOST);
	enum append_outcome outcome = APPEND_MADE;
	if (add_texts(v, &text, &html, &fits)) {
		const struct append_plan *plan =
			fits ? facts_append(facts, buf_slice(&text), buf_slice(&html)) : NULL;
		if (!fits)
			*why_out = SLICE("the texts of its rules are too large together");
		else if (plan == NULL)
			outcome = APPEND_WAITS;
		else
			outcome = carry_out(plan, mail, header_bytes, most, a, e, why_out);
	}
	buf_fini(&text);
	buf_fini(&html);
	return outcome;
}

/* --- the body that is signed */

bool
append_is_of_body(const struct edits *e)
{
	return e->body_at != 0 && e->n_cuts != 0 && e->cuts[e->n_cuts - 1].at >= e->body_at;
}

/* What came, from the blank line on, with the splices made. */
static int
body_of(struct spill *spill, const struct edits *e, struct arena *a, struct relay_body *b,
	struct err *err)
{
	struct slice bytes;
	relay_body_init(b, a);
	if (spill_memory(spill, &bytes)) {
		(void)relay_body_add(b, bytes);
	} else {
		int fd = spill_file(spill, err);
		if (fd < 0)
			return -1;
		(void)relay_body_add_file(b, fd, 0, spill_bytes(spill));
	}
	if (edits_carry_out(e, e->body_at, b) < 0)
		return err_set(err, "more splices than a mail can have pieces");
	return relay_body_cut(b, 0, e->body_at);
}

int
append_hash(struct spill *spill, const struct edits *e, struct arena *a, struct dkim_sign *s,
	struct err *err)
{
	struct relay_body b;
	struct relay_reader reader;
	struct buf scratch;
	struct slice piece;
	if (body_of(spill, e, a, &b, err) < 0)
		return -1;
	buf_init(&scratch, READ_BYTES);
	relay_reader_init(&reader, &b);
	int result;
	while ((result = relay_reader_next(&reader, READ_BYTES, &scratch, &piece, err)) == 0 &&
		piece.n != 0)
		dkim_sign_body(s, piece);
	buf_fini(&scratch);
	dkim_sign_body_end(s);
	return result;
}
