/* Questions answered from a script, late if it says so; see world.h. */
#include "world.h"

#include "base/must.h"

static struct slice
word(struct slice *rest)
{
	struct slice one;
	slice_cut(slice_trim(*rest), ' ', &one, rest);
	*rest = slice_trim(*rest);
	return one;
}

static bool
read_type(struct slice text, enum dns_type *out)
{
	static const enum dns_type types[] = {
		DNS_A, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		*out = types[i];
		if (slice_eq(text, slice_of(dns_type_text(types[i]))))
			return true;
	}
	return false;
}

static bool
read_record(enum dns_type type, struct slice text, struct dns_rr *rr)
{
	uint64_t preference = 0;
	if (type == DNS_A || type == DNS_AAAA)
		return ip_parse(text, &rr->ip);
	if (type == DNS_MX && !slice_u64(word(&text), &preference))
		return false;
	rr->preference = (uint16_t)preference;
	if (type == DNS_TXT && text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
		text = (struct slice){text.p + 1, text.n - 2};
	rr->text = text;
	return true;
}

/* TYPE NAME, then fail, nxdomain, nodata, or records with " | " between them. */
static bool
read_dns(struct world *w, struct slice words, struct world_answer *a)
{
	struct slice failures[] = {SLICE("nodata"), SLICE("nxdomain"), SLICE("fail")}, one;
	static const enum dns_status statuses[] = {DNS_NODATA, DNS_NXDOMAIN, DNS_FAIL};
	if (!read_type(word(&words), &a->type))
		return false;
	a->name = word(&words);
	a->dns = (struct dns_answer){.status = DNS_OK, .ttl = 60};
	for (size_t i = 0; i < 3; i++)
		if (slice_eq(words, failures[i]))
			a->dns.status = statuses[i];
	if (a->dns.status != DNS_OK)
		return true;
	a->dns.rr = arena_array(w->arena, words.n + 1, sizeof(*a->dns.rr));
	while (words.n != 0) {
		size_t end = slice_find_slice(words, SLICE(" | "));
		one = slice_first(words, end);
		words = slice_from(words, end + 3);
		if (!read_record(a->type, slice_trim(one), &a->dns.rr[a->dns.n++]))
			return false;
	}
	return a->dns.n != 0;
}

static bool
read_known(struct slice words, struct world_answer *a)
{
	a->name = word(&words);
	a->known = slice_eq(words, SLICE("yes"))  ? KNOWN_YES
		   : slice_eq(words, SLICE("no")) ? KNOWN_NO
						  : KNOWN_FAILED;
	return a->known != KNOWN_FAILED || slice_eq(words, SLICE("failed"));
}

/* TABLE VALUE yes|no|failed WHY */
static bool
read_lookup(struct slice words, struct world_answer *a)
{
	a->name = word(&words);
	a->value = word(&words);
	struct slice what = word(&words);
	a->lookup = slice_eq(what, SLICE("yes"))  ? LOOKUP_YES
		    : slice_eq(what, SLICE("no")) ? LOOKUP_NO
						  : LOOKUP_FAILED;
	a->why = words;
	return a->lookup != LOOKUP_FAILED || slice_eq(what, SLICE("failed"));
}

static bool
read_scan(struct world *w, struct slice words, struct world_answer *a)
{
	struct slice what = word(&words);
	if (slice_eq(what, SLICE("infected"))) {
		a->scan = (struct scan_report){.status = SCAN_INFECTED, .virus = words};
	} else if (slice_eq(what, SLICE("failed"))) {
		a->scan = (struct scan_report){.status = SCAN_FAILED, .why = words};
	} else if (slice_eq(what, SLICE("clean"))) {
		a->scan.attachments =
			arena_array(w->arena, words.n + 1, sizeof(*a->scan.attachments));
		while (words.n != 0)
			a->scan.attachments[a->scan.n_attachments++] =
				(struct scan_attachment){.name = word(&words),
					.type = SLICE("application/octet-stream")};
	} else {
		return false;
	}
	return true;
}

/* "KEY" yes | no MS | failed */
static bool
read_state(struct slice words, struct world_answer *a)
{
	if (!slice_starts(words, SLICE("\"")) ||
		!slice_cut(slice_from(words, 1), '"', &a->name, &words))
		return false;
	struct slice what = word(&words);
	a->state.yes = slice_eq(what, SLICE("yes"));
	a->state.status = slice_eq(what, SLICE("failed")) ? STATE_FAILED : STATE_OK;
	if (slice_eq(what, SLICE("no")))
		return slice_u64(words, &a->state.wait_ms);
	return words.n == 0 && (a->state.yes || a->state.status == STATE_FAILED);
}

/* done TEXT: a line at the mail's end; not WHY; failed */
static bool
read_append(struct slice words, struct world_answer *a)
{
	struct slice what = word(&words);
	a->append = slice_eq(what, SLICE("done"))  ? APPEND_DONE
		    : slice_eq(what, SLICE("not")) ? APPEND_NOT
						   : APPEND_FAILED;
	a->words = words;
	return a->append != APPEND_FAILED || slice_eq(what, SLICE("failed"));
}

/* rspamd SCORE ACTION | spamassassin SCORE | either failed WHY */
static bool
read_neighbour(struct slice words, struct world_answer *a)
{
	a->name = word(&words);
	struct slice what = word(&words);
	a->neighbour.failed = slice_eq(what, SLICE("failed"));
	a->neighbour.why = a->neighbour.failed ? words : SLICE("the script");
	a->neighbour.action = words;
	return a->neighbour.failed || neighbour_number(what, &a->neighbour.score);
}

/* At the end of the mail, which the play knows: its question says how long it is. */
static void
answer_append(struct world *w, struct world_due *d)
{
	struct append_splice s = {.at = w->mail_bytes,
		.insert = arena_printf(w->arena, "%.*s\r\n", SLICE_ARG(d->answer->words))};
	struct append_plan plan = {.status = d->answer->append, .why = d->answer->words};
	if (plan.status == APPEND_DONE)
		plan = (struct append_plan){.splices = &s, .n = 1};
	question_answer_append(d->scope, d->question, &plan);
}

bool
world_add(struct world *w, struct slice kind, struct slice words)
{
	must(w->n_answers < WORLD_ANSWERS_MOST);
	struct world_answer *a = &w->answers[w->n_answers++];
	*a = (struct world_answer){0};
	if (slice_starts(words, SLICE("after "))) {
		word(&words);
		if (!slice_u64(word(&words), &a->after_ms))
			return false;
	}
	if (slice_eq(kind, SLICE("dns"))) {
		a->kind = QUESTION_DNS;
		return read_dns(w, words, a);
	}
	if (slice_eq(kind, SLICE("known"))) {
		a->kind = QUESTION_KNOWN;
		return read_known(words, a);
	}
	if (slice_eq(kind, SLICE("lookup"))) {
		a->kind = QUESTION_LOOKUP;
		return read_lookup(words, a);
	}
	if (slice_eq(kind, SLICE("state"))) {
		a->kind = QUESTION_STATE;
		return read_state(words, a);
	}
	if (slice_eq(kind, SLICE("append"))) {
		a->kind = QUESTION_APPEND;
		return read_append(words, a);
	}
	if (slice_eq(kind, SLICE("neighbour"))) {
		a->kind = QUESTION_NEIGHBOUR;
		return read_neighbour(words, a);
	}
	a->kind = QUESTION_SCAN;
	return read_scan(w, words, a);
}

static bool
answers(const struct world_answer *a, const struct question *q)
{
	if (a->kind != q->kind || (q->kind == QUESTION_DNS && a->type != q->type))
		return false;
	if (q->kind == QUESTION_LOOKUP && !slice_eq(a->value, q->input))
		return false;
	if (q->kind == QUESTION_STATE)
		return slice_eq(a->name, q->op.key);
	return q->kind == QUESTION_SCAN || q->kind == QUESTION_APPEND ||
	       slice_eq_nocase(a->name, q->name);
}

/* What a driver tells the keeper when a scope ends (session/ask_state.c). */
static void
tell(struct world *w, const struct question *q, const struct state_answer *answer, bool kept)
{
	bool takes = q->op.kind == STATE_TAKE || q->op.kind == STATE_COUNT;
	bool gets = q->op.kind == STATE_GET;
	if (answer->status != STATE_OK || takes == kept)
		return;
	if (gets ? q->op.ttl_ms == 0 : !answer->yes)
		return;
	must(w->n_told < WORLD_TOLD_MOST);
	w->told[w->n_told++] = arena_printf(w->arena, "%s %.*s",
		takes  ? "give"
		: gets ? "set"
		       : "pass",
		SLICE_ARG(q->op.key));
}

/* The question's arena ends: its answer is not awaited any more. */
static void
forget(void *arg)
{
	struct world_due *d = arg;
	if (d->question != NULL && d->question->kind == QUESTION_STATE)
		tell(d->world, d->question, &d->answer->state, d->question->kept);
	d->used = false;
}

void
world_ask(struct world *w, struct question *q, struct questions *scope)
{
	const struct world_answer *found = NULL;
	for (size_t i = 0; i < w->n_answers; i++) /* a later line replaces an earlier one */
		if (answers(&w->answers[i], q))
			found = &w->answers[i];
	if (found == NULL) {
		struct slice what = q->kind == QUESTION_STATE    ? q->op.key
				    : q->kind == QUESTION_LOOKUP ? q->input
								 : q->name;
		w->wrong = arena_printf(w->arena, "the script has no answer to %s %.*s",
			q->kind == QUESTION_DNS         ? dns_type_text(q->type)
			: q->kind == QUESTION_KNOWN     ? "known"
			: q->kind == QUESTION_STATE     ? "the state"
			: q->kind == QUESTION_LOOKUP    ? "lookup"
			: q->kind == QUESTION_NEIGHBOUR ? "neighbour"
							: "a scan or engine",
			SLICE_ARG(what));
		return;
	}
	must(w->n_due < WORLD_DUE_MOST);
	struct world_due *d = &w->due[w->n_due++];
	*d = (struct world_due){w, true, w->now_ms + found->after_ms, scope, q, found};
	q->state = QUESTION_ASKED;
	arena_defer(scope->arena, forget, d);
}

uint64_t
world_next(const struct world *w)
{
	uint64_t next = UINT64_MAX;
	for (size_t i = 0; i < w->n_due; i++)
		if (w->due[i].used && w->due[i].at_ms < next)
			next = w->due[i].at_ms;
	return next;
}

static bool
is_open_state(const struct world_due *d)
{
	return d->used && d->question->kind == QUESTION_STATE;
}

/* The keeper answers in the order of the rules: one that is asked with another waits for it. */
static bool
waits_for_another(const struct world *w, struct world_due *d)
{
	bool waits = false;
	for (size_t i = 0; i < w->n_due; i++) {
		const struct world_due *other = &w->due[i];
		if (!is_open_state(other) || !is_open_state(d) ||
			other->question->order >= d->question->order)
			continue;
		waits = true;
		if (other->at_ms > d->at_ms)
			d->at_ms = other->at_ms;
	}
	return waits;
}

/* And where that one is not granted, it was not needed. */
static void
deliver_state(struct world *w, struct world_due *d)
{
	question_answer_state(d->scope, d->question, &d->answer->state);
	for (size_t i = 0; i < w->n_due; i++) {
		struct world_due *other = &w->due[i];
		if (!is_open_state(other))
			continue;
		if (d->answer->state.yes) {
			if (other->at_ms < w->now_ms)
				other->at_ms = w->now_ms;
			continue;
		}
		question_skip_state(other->scope, other->question);
		other->question = NULL;
		other->used = false;
	}
}

bool
world_deliver(struct world *w)
{
	bool any = false;
	for (size_t i = 0; i < w->n_due; i++) {
		struct world_due *d = &w->due[i];
		if (!d->used || d->at_ms > w->now_ms || waits_for_another(w, d))
			continue;
		d->used = false;
		any = true;
		if (d->question->kind == QUESTION_DNS)
			question_answer_dns(d->scope, d->question, &d->answer->dns);
		else if (d->question->kind == QUESTION_KNOWN)
			question_answer_known(
				d->scope, d->question, d->answer->known, SLICE("550 5.1.1 no"));
		else if (d->question->kind == QUESTION_LOOKUP)
			question_answer_lookup(
				d->scope, d->question, d->answer->lookup, d->answer->why);
		else if (d->question->kind == QUESTION_STATE)
			deliver_state(w, d);
		else if (d->question->kind == QUESTION_APPEND)
			answer_append(w, d);
		else if (d->question->kind == QUESTION_NEIGHBOUR)
			question_answer_neighbour(d->scope, d->question, &d->answer->neighbour);
		else
			question_answer_scan(d->scope, d->question, &d->answer->scan);
	}
	return any;
}
