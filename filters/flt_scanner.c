/*
 * What a scanner found: virus, attachments, patterns in the text. All four facts are one
 * question, dear, asked when no cheaper one is left that could decide; the scanning itself is
 * done in a process of its own (gateway/scan).
 */
#include "filters/filter.h"

static const struct fact_decl scan_facts[] = {
	{.name = "virus",
		.type = FACT_FLAG,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_DEAR,
		.text = "A virus was found by libclamav; fails where the mail cannot be "
			"scanned."},
	{.name = "virus.name",
		.type = FACT_TEXT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_DEAR,
		.text = "The signature that was found; empty: none."},
	{.name = "unscannable",
		.type = FACT_FLAG,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_DEAR,
		.text = "The mail is over a bound of the scanner, or has killed two scanners."},
	{.name = "attachment.name",
		.type = FACT_LIST_TEXT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_DEAR,
		.text = "Names of attachments in every reading, inside archives too."},
	{.name = "attachment.type",
		.type = FACT_LIST_TEXT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_DEAR,
		.text = "Media types of attachments, by content where it tells, else as "
			"declared."},
	{.name = "attachment.size",
		.type = FACT_LIST_NUMBER,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_DEAR,
		.text = "Sizes of attachments in bytes, decoded."},
	{.name = "body",
		.phrase = "body contains",
		.type = FACT_FLAG,
		.arg = FACT_ARG_WORD,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_DEAR,
		.text = "The decoded text of the mail holds a match of the pattern; what "
			"matched is never kept."},
	{.name = NULL},
};

static void
attachments(struct flt_call *c, const struct scan_report *r, char what, struct value *v)
{
	struct value *items = arena_array(c->arena, r->n_attachments, sizeof(*items));
	for (size_t i = 0; i < r->n_attachments; i++) {
		if (what == 'n')
			items[i].text = r->attachments[i].name;
		else if (what == 't')
			items[i].text = r->attachments[i].type;
		else
			items[i].number = (double)r->attachments[i].bytes;
	}
	v->items = items;
	v->n_items = r->n_attachments;
}

static enum fact_state
pattern(struct flt_call *c, const struct scan_report *r, struct slice name, struct value *v)
{
	for (size_t i = 0; i < policy_patterns(c->policy) && i < SCAN_PATTERNS_MOST; i++) {
		if (!slice_eq(policy_pattern(c->policy, i)->name, name))
			continue;
		v->evidence = arena_printf(c->arena, "%u matches", r->patterns[i]);
		return flt_flag(v, r->patterns[i] != 0);
	}
	v->evidence = SLICE("more patterns than a scan takes");
	return FACT_FAILED;
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	const struct scan_report *r = flt_scan(c);
	struct slice name = slice_of(ref->decl->name);
	if (r == NULL)
		return FACT_OPEN;
	v->evidence = r->why;
	if (slice_eq(name, SLICE("unscannable")) && r->status != SCAN_FAILED)
		return flt_flag(v, r->status == SCAN_UNSCANNABLE);
	if (slice_eq(name, SLICE("virus")) && r->status == SCAN_INFECTED)
		return flt_flag(v, true);
	if (slice_eq(name, SLICE("virus.name")) && r->status == SCAN_INFECTED)
		return flt_text(v, r->virus);
	if (slice_starts(name, SLICE("attachment.")) && r->status != SCAN_FAILED) {
		attachments(c, r, name.p[sizeof("attachment.") - 1], v);
		/* over a bound: those that were seen may match, that there is no other is
		 * unknown */
		return r->status == SCAN_UNSCANNABLE ? FACT_FAILED : FACT_KNOWN;
	}
	if (r->status == SCAN_FAILED || r->status == SCAN_UNSCANNABLE)
		return FACT_FAILED; /* what could not be looked at is not clean */
	if (slice_eq(name, SLICE("virus")))
		return flt_flag(v, false);
	if (slice_eq(name, SLICE("virus.name")))
		return flt_text(v, SLICE_NONE);
	return pattern(c, r, ref->arg, v);
}

const struct filter flt_scanner = {.name = "virus", .facts = scan_facts, .gather = gather};
