/*
 * What a scanner found: viruses, attachments, patterns in the text, and what it could not look
 * into. All of it is one question, dear, asked when no cheaper one is left that could decide;
 * the scanning itself is done in a process of its own (gateway/scan), and no more of it than
 * the facts that the rules use want (the table `wants`).
 */
#include "filters/filter.h"

static const char *const reasons[] = {[SCAN_REASON_NONE] = "none",
	[SCAN_REASON_DEPTH] = "depth",
	[SCAN_REASON_PARTS] = "parts",
	[SCAN_REASON_BYTES] = "bytes",
	[SCAN_REASON_TIME] = "time",
	[SCAN_REASON_BROKEN] = "broken",
	[SCAN_REASON_CRASHED] = "crashed",
	[SCAN_REASON_PATTERN] = "pattern",
	[SCAN_REASONS] = NULL};

enum {
	VIRUS,
	VIRUS_NAME,
	UNSCANNABLE,
	REASON,
	ENCRYPTED,
	UNREAD,
	NAME,
	TYPE,
	SIZE,
	SHA256,
	ATTACHMENT_ENCRYPTED,
	BODY
};

#define OF_BODY .scope = SCOPE_MAIL, .stage = STAGE_BODY, .cost = COST_DEAR

/* In the order of their numbers. */
static const struct fact_decl scan_facts[] = {
	{.name = "virus",
		.type = FACT_FLAG,
		OF_BODY,
		.text = "A virus was found by libclamav; fails where the mail cannot be "
			"scanned."},
	{.name = "virus.name",
		.type = FACT_TEXT,
		OF_BODY,
		.text = "The signature that was found; empty: none."},
	{.name = "unscannable",
		.type = FACT_FLAG,
		OF_BODY,
		.text = "The mail is over a bound of the scanner, broken, or has killed two "
			"scanners."},
	{.name = "unscannable.reason",
		.type = FACT_WORD,
		.words = reasons,
		OF_BODY,
		.text = "Why it is unscannable: over the bound on depth, parts, bytes or time, "
			"broken, the scanners crashed, or a pattern reached its limit."},
	{.name = "encrypted",
		.type = FACT_FLAG,
		OF_BODY,
		.text = "A part, or a member of an archive, cannot be read without a key or a "
			"password."},
	{.name = "text.unread",
		.type = FACT_FLAG,
		OF_BODY,
		.text = "Some text could not be read: it is encrypted, broken, over a bound, "
			"or of a kind that is not read. Pictures are no text."},
	{.name = "attachment.name",
		.type = FACT_LIST_TEXT,
		OF_BODY,
		.text = "Names of attachments in every reading, inside archives too."},
	{.name = "attachment.type",
		.type = FACT_LIST_TEXT,
		OF_BODY,
		.text = "Media types of attachments, by content where it tells, else as "
			"declared."},
	{.name = "attachment.size",
		.type = FACT_LIST_NUMBER,
		OF_BODY,
		.text = "Sizes of attachments in bytes, decoded."},
	{.name = "attachment.sha256",
		.type = FACT_LIST_TEXT,
		OF_BODY,
		.text = "SHA-256 of each attachment, decoded, in lower-case hexadecimal; empty "
			"for a member of an archive that could not be unpacked."},
	{.name = "attachment.encrypted",
		.type = FACT_LIST_FLAG,
		OF_BODY,
		.text = "Whether the attachment is encrypted, or an archive that holds such "
			"members; for `any attachment { ... }`."},
	{.name = "body",
		.phrase = "body contains",
		.type = FACT_FLAG,
		.arg = FACT_ARG_WORD,
		OF_BODY,
		.text = "The text of the mail or of a document attached to it holds a match of "
			"the pattern; fails where there is none and some text could not be "
			"read (`text.unread`). What matched is never kept."},
	{.name = NULL},
};

/* What each fact wants done. */
static const unsigned char wants[] = {[VIRUS] = SCAN_WANT_VIRUS,
	[VIRUS_NAME] = SCAN_WANT_VIRUS,
	[UNSCANNABLE] = SCAN_WANT_VIRUS | SCAN_WANT_ATTACHMENTS,
	[REASON] = SCAN_WANT_VIRUS | SCAN_WANT_ATTACHMENTS,
	[ENCRYPTED] = SCAN_WANT_ATTACHMENTS,
	[UNREAD] = SCAN_WANT_PATTERNS,
	[NAME] = SCAN_WANT_ATTACHMENTS,
	[TYPE] = SCAN_WANT_ATTACHMENTS,
	[SIZE] = SCAN_WANT_ATTACHMENTS,
	[SHA256] = SCAN_WANT_ATTACHMENTS | SCAN_WANT_HASHES,
	[ATTACHMENT_ENCRYPTED] = SCAN_WANT_ATTACHMENTS,
	[BODY] = SCAN_WANT_PATTERNS};

unsigned
flt_scan_wants(const struct policy *p)
{
	unsigned want = 0;
	for (size_t i = 0; i < sizeof(wants); i++)
		if (policy_uses(p, scan_facts[i].name))
			want |= wants[i];
	return want;
}

static struct slice
hash_text(struct arena *a, const struct scan_attachment *t)
{
	static const char digits[] = "0123456789abcdef";
	if (!t->hashed)
		return SLICE_NONE;
	char *hex = arena_alloc(a, 2 * sizeof(t->sha256));
	for (size_t i = 0; i < sizeof(t->sha256); i++) {
		hex[2 * i] = digits[t->sha256[i] >> 4];
		hex[2 * i + 1] = digits[t->sha256[i] & 15];
	}
	return (struct slice){hex, 2 * sizeof(t->sha256)};
}

static void
attachments(struct flt_call *c, const struct scan_report *r, size_t what, struct value *v)
{
	struct value *items = arena_array(c->arena, r->n_attachments, sizeof(*items));
	for (size_t i = 0; i < r->n_attachments; i++) {
		const struct scan_attachment *t = &r->attachments[i];
		switch (what) {
		case NAME: items[i].text = t->name; break;
		case TYPE: items[i].text = t->type; break;
		case SIZE: items[i].number = (double)t->bytes; break;
		case SHA256: items[i].text = hash_text(c->arena, t); break;
		default: items[i].flag = t->encrypted; break;
		}
	}
	v->items = items;
	v->n_items = r->n_attachments;
}

/* A match is one wherever else the scan ended; that there is none is said of what was read. */
static enum fact_state
pattern(struct flt_call *c, const struct scan_report *r, struct slice name, struct value *v)
{
	for (size_t i = 0; i < policy_patterns(c->policy) && i < SCAN_PATTERNS_MOST; i++) {
		if (!slice_eq(policy_pattern(c->policy, i)->name, name))
			continue;
		if (r->patterns[i] != 0) {
			v->evidence = arena_printf(c->arena, "%u matches", r->patterns[i]);
			return flt_flag(v, true);
		}
		if (r->status == SCAN_UNSCANNABLE || r->reason != SCAN_REASON_NONE)
			return FACT_FAILED;
		v->evidence = r->text_unread ? r->unread_why : SLICE("0 matches");
		return r->text_unread ? FACT_FAILED : flt_flag(v, false);
	}
	v->evidence = SLICE("more patterns than a scan takes");
	return FACT_FAILED;
}

static size_t
which(const struct fact_ref *ref)
{
	return (size_t)(ref->decl - scan_facts);
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	const struct scan_report *r = flt_scan(c);
	size_t what = which(ref);
	if (r == NULL)
		return FACT_OPEN;
	v->evidence = r->why;
	if (r->status == SCAN_FAILED)
		return FACT_FAILED;
	/* What could not be looked at is not clean. A pattern's limit hides no file. */
	bool over = r->status == SCAN_UNSCANNABLE || r->reason != SCAN_REASON_NONE;
	bool whole = !over || r->reason == SCAN_REASON_PATTERN;
	switch (what) {
	case UNSCANNABLE: return flt_flag(v, over);
	case REASON: return flt_text(v, slice_of(reasons[r->reason]));
	case UNREAD:
		if (r->text_unread)
			v->evidence = r->unread_why;
		return flt_flag(v, r->text_unread || over);
	case BODY: return pattern(c, r, ref->arg, v);
	case VIRUS:
		if (r->status == SCAN_INFECTED || whole)
			return flt_flag(v, r->status == SCAN_INFECTED);
		return FACT_FAILED;
	case VIRUS_NAME:
		if (r->status == SCAN_INFECTED || whole)
			return flt_text(v, r->virus);
		return FACT_FAILED;
	case ENCRYPTED: return r->encrypted || whole ? flt_flag(v, r->encrypted) : FACT_FAILED;
	default: break;
	}
	/* Those that were seen may match; whether there is another is then unknown. */
	attachments(c, r, what, v);
	return whole ? FACT_KNOWN : FACT_FAILED;
}

const struct filter flt_scanner = {.name = "virus", .facts = scan_facts, .gather = gather};
