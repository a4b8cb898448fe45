/*
 * Next hops from their text alone, without a file around them: a mail in the queue knows its
 * `route to` by the text that stood in a rule when it came (gateway/delivery). The grammar is
 * that of the file, read by the same parser.
 */
#include "conf/parse_priv.h"

enum { TEXT_MOST = 4096 };

/* A single one stands without its quotes where it is told or kept. */
static struct slice
with_quotes(struct slice text, struct arena *a)
{
	if (slice_starts(text, SLICE("\"")) || slice_starts(text, SLICE("mx ")) ||
		slice_starts(text, SLICE("balanced ")))
		return text;
	return arena_printf(a, "\"%.*s\"", SLICE_ARG(text));
}

static bool
parse_all(struct slice text, struct arena *a, struct conf_report *r, struct hop_list *list)
{
	struct tokens tokens;
	struct parser p = {.report = r, .arena = a, .tokens = &tokens};
	tokens_init(&tokens, a, r, "a next hop", text);
	parse_next(&p);
	return parse_hops(&p, list, false) &&
	       (p.tok.kind == TOK_END || parse_expected(&p, "the end of the next hops"));
}

int
conf_hops_parse(struct slice text, struct arena *a, struct hop_list *list_out, struct err *err)
{
	struct conf_report r;
	*list_out = (struct hop_list){0};
	if (text.n > TEXT_MOST || slice_has(text, '\0'))
		return err_set(err, "the text of a next hop is too long, or holds NUL");
	conf_report_init(&r);
	/* Some of what is wrong is only told, so that a file's reader finds more of it. */
	bool good =
		parse_all(with_quotes(slice_trim(text), a), a, &r, list_out) && r.n_errors == 0;
	if (!good)
		err_set(err, "%s", r.n > 0 ? r.problems[0].text : "no next hop");
	conf_report_fini(&r);
	return good ? 0 : -1;
}
