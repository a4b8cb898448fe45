/*
 * `postern queue`: what the command line asks for; see queue_priv.h for where it is done. The
 * keeper is asked over its socket in the spool folder, so this works only on the machine of the
 * gateway, for root and the gateway's own user.
 */
#include <string.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "conf/number.h"
#include "main/queue_priv.h"

enum { WORDS_ARENA = 1 << 20 };

static const char usage[] =
	"queue [--json]                     what waits, by destination\n"
	"       postern queue list [FILTER ...] [--json]\n"
	"       postern queue show | why | body ID [--json]\n"
	"       postern queue hold | release | retry | expire | drop FILTER ... [--yes] "
	"[--count "
	"N]\n"
	"FILTER: ID, --sender ADDRESS, --recipient ADDRESS (either may be @DOMAIN),\n"
	"        --destination SITE, --reason CLASS, --kind send | hold | quarantine,\n"
	"        --quarantine NAME, --older 2h, --held, --all";

const char *
queue_kind_text(enum stored_kind k)
{
	static const char *const texts[STORED_KINDS] = {
		[STORED_SEND] = "send",
		[STORED_HOLD] = "hold",
		[STORED_QUARANTINE] = "quarantine",
	};
	return texts[k];
}

const char *
queue_state_text(enum rcpt_state s)
{
	static const char *const texts[RCPT_STATES] = {
		[RCPT_WAITING] = "waiting",
		[RCPT_DELIVERED] = "delivered",
		[RCPT_FAILED] = "failed",
		[RCPT_TOLD] = "told",
		[RCPT_DOUBT] = "doubt",
	};
	return texts[s];
}

/* ---- the command line ---- */

bool
queue_read_address(struct queue_words *w, const char *text, struct slice *out)
{
	*out = slice_of(text);
	return out->n != 0 && out->n <= 400 &&
	       (slice_eq(*out, SLICE("<>")) || slice_has(*out, '@')) && (w->any = true);
}

static bool
read_domain(struct queue_words *w, const char *text)
{
	/* A site is as the schedule names it: an A-label or a literal; other words stay. */
	if (!domain_parse(slice_of(text), true, true, w->arena, &w->filter.destination))
		w->filter.destination = slice_of(text);
	w->any = true;
	return w->filter.destination.n != 0 && w->filter.destination.n <= 255;
}

static bool
read_reason(struct queue_words *w, const char *text)
{
	w->filter.by_class = w->any = true;
	return failure_class_parse(slice_of(text), &w->filter.class);
}

static bool
read_kind(struct queue_words *w, const char *text)
{
	w->filter.by_kind = w->any = true;
	for (int k = 0; k < STORED_KINDS; k++) {
		w->filter.kind = (enum stored_kind)k;
		if (strcmp(text, queue_kind_text(w->filter.kind)) == 0)
			return true;
	}
	return false;
}

bool
queue_read_span(struct queue_words *w, const char *text, uint64_t *ms_out)
{
	double ms;
	char unit;
	if (!number_parse(slice_of(text), &ms, &unit) || unit != 'd' || ms < 1)
		return false;
	*ms_out = (uint64_t)ms;
	w->any = true;
	return true;
}

static bool
read_id(struct queue_words *w, const char *text)
{
	w->any = true;
	if (w->filter.by_id)
		return false;
	w->filter.by_id = true;
	return custody_id_parse(slice_of(text), &w->filter.id);
}

/* An option with a value. False: there is none of that name, or its value is wrong. */
static bool
read_valued(struct queue_words *w, const char *name, const char *value)
{
	if (strcmp(name, "--sender") == 0)
		return queue_read_address(w, value, &w->filter.sender);
	if (strcmp(name, "--recipient") == 0)
		return queue_read_address(w, value, &w->filter.recipient);
	if (strcmp(name, "--destination") == 0)
		return read_domain(w, value);
	if (strcmp(name, "--reason") == 0)
		return read_reason(w, value);
	if (strcmp(name, "--kind") == 0)
		return read_kind(w, value);
	if (strcmp(name, "--older") == 0)
		return queue_read_span(w, value, &w->filter.older_ms);
	if (strcmp(name, "--quarantine") == 0) {
		w->filter.quarantine = slice_of(value);
		w->any = true;
		return w->filter.quarantine.n != 0 && w->filter.quarantine.n <= 500;
	}
	w->has_count = true;
	return strcmp(name, "--count") == 0 && slice_u64(slice_of(value), &w->count);
}

/* *wrong_out: the word that cannot be. */
static bool
read_words(struct queue_words *w, int n, char *const words[], const char **wrong_out)
{
	int i = 0;
	w->verb = n > 0 && words[0][0] != '-' ? words[i++] : "";
	for (; i < n; i++) {
		*wrong_out = words[i];
		if (strcmp(words[i], "--json") == 0) {
			w->json = true;
		} else if (strcmp(words[i], "--yes") == 0) {
			w->yes = true;
		} else if (strcmp(words[i], "--all") == 0) {
			w->any = true;
		} else if (strcmp(words[i], "--held") == 0) {
			w->filter.held = w->any = true;
		} else if (words[i][0] != '-') {
			if (!read_id(w, words[i]))
				return false;
		} else if (i + 1 == n || !read_valued(w, words[i], words[i + 1])) {
			*wrong_out = i + 1 < n ? words[i + 1] : words[i];
			return false;
		} else {
			i++;
		}
	}
	return true;
}

/* ---- the verbs ---- */

static const struct {
	const char *verb;
	int (*run)(struct queue_tool *q, struct err *err); /* NULL: an action */
	enum hand_action action;
	bool filters, needs_id;
} verbs[] = {
	{"", queue_summary, 0, false, false},
	{"list", queue_list, 0, true, false},
	{"show", queue_show, 0, true, true},
	{"why", queue_why, 0, true, true},
	{"body", queue_body, 0, true, true},
	{"hold", NULL, HAND_HOLD, true, false},
	{"release", NULL, HAND_RELEASE, true, false},
	{"retry", NULL, HAND_RETRY, true, false},
	{"expire", NULL, HAND_EXPIRE, true, false},
	{"drop", NULL, HAND_DROP, true, false},
};
enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

/* The place in the table, or VERBS; then it was said why. */
static size_t
find_verb(const struct tool *t, const struct queue_words *w)
{
	size_t i = 0;
	while (i < VERBS && strcmp(verbs[i].verb, w->verb) != 0)
		i++;
	if (i == VERBS) {
		fprintf(t->err, "postern: there is no `queue %s`\n", w->verb);
		return VERBS;
	}
	bool acts = verbs[i].run == NULL;
	if (verbs[i].needs_id && !w->filter.by_id)
		fprintf(t->err, "postern: `queue %s` needs the ID of a mail\n", w->verb);
	else if (acts && !w->any)
		fprintf(t->err, "postern: `queue %s` needs a filter, or --all\n", w->verb);
	else if ((!verbs[i].filters && w->any) || (!acts && (w->yes || w->has_count)) ||
		 (acts && w->json))
		fprintf(t->err, "postern: that is no option of `queue %s`\n", w->verb);
	else
		return i;
	return VERBS;
}

int
queue_read_spool(struct queue_tool *q, struct err *err)
{
	struct conf_report report;
	conf_report_init(&report);
	struct conf *c = conf_read(q->tool->config, &report);
	conf_report_fini(&report);
	if (c == NULL)
		return err_set(err, "%s is not right (postern check)", q->tool->config);
	q->words.spool = arena_slice(q->words.arena, c->spool);
	q->words.hostname = arena_slice(q->words.arena, c->hostname);
	conf_free(&c);
	return 0;
}

static int
run(struct queue_tool *q, size_t verb)
{
	struct err err;
	int result = queue_read_spool(q, &err);
	if (result == 0) {
		q->client = hand_client_open(q->words.spool, &err);
		result = q->client != NULL ? 0 : -1;
	}
	if (result == 0 && verbs[verb].run == NULL)
		return queue_act(q, verbs[verb].action);
	if (result == 0)
		result = verbs[verb].run(q, &err);
	if (result < 0)
		fprintf(q->tool->err, "postern: %s\n", err.text);
	return result < 0 ? 1 : 0;
}

int
tool_queue(const struct tool *t, int n, char *const words[])
{
	struct queue_tool q = {.tool = t, .now_ms = (uint64_t)clock_wall_ms()};
	const char *wrong = "";
	int status = 2;
	q.words.arena = arena_new(WORDS_ARENA);
	if (!read_words(&q.words, n, words, &wrong)) {
		fprintf(t->err, "postern: \"%s\" cannot stand there\n", wrong);
		tool_usage(t, usage);
	} else {
		size_t verb = find_verb(t, &q.words);
		status = verb < VERBS ? run(&q, verb) : tool_usage(t, usage);
	}
	hand_client_close(&q.client);
	arena_free(&q.words.arena);
	return status;
}
