/*
 * `postern quarantine`: the place where a person looks at what was held; see queue_priv.h for
 * where it is done. It is `postern queue` for mails in quarantine alone, with what a person in
 * front of them asks for; the keeper has each of them scanned by the signatures of now before
 * it shows it or lets it go.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "main/queue_priv.h"

enum { WORDS_ARENA = 1 << 20, IDS_MOST = 1000 };

static const char usage[] =
	"quarantine [list] [FILTER ...] [--limit N] [--json]\n"
	"       postern quarantine show ID [--raw | --text] [--unscannable] [--json]\n"
	"       postern quarantine release ID ... | FILTER ... [--no-learn] [ACTING ...]\n"
	"       postern quarantine forward ID ... | FILTER ... to ADDRESS [ACTING ...]\n"
	"       postern quarantine delete ID ... | FILTER ... [--spam] [ACTING ...]\n"
	"       postern quarantine learn spam | ham ID ... | FILTER ... [--unscannable] "
	"[--json]\n"
	"FILTER: --name NAME, --from ADDRESS, --to ADDRESS (either may be @DOMAIN),\n"
	"        --client ADDRESS, --rule FILE:LINE, --virus, --since 2h, --older 2h, --all\n"
	"ACTING: --by NAME, --count N, --limit N, --unscannable, --json";

enum verb { VERB_LIST, VERB_SHOW, VERB_RELEASE, VERB_FORWARD, VERB_DELETE, VERB_LEARN, VERBS };

static const char *const verb_names[VERBS] = {
	"list", "show", "release", "forward", "delete", "learn"};

struct words {
	struct queue_words *w;
	enum verb verb;
	const char *subject; /* of learn */
	bool spam, no_learn; /* of delete, of release */
};

/* ---- the command line ---- */

static bool
read_text(struct queue_words *w, const char *value, size_t most, struct slice *out)
{
	*out = slice_of(value);
	w->any = true;
	return out->n != 0 && out->n <= most;
}

static bool
read_client(struct queue_words *w, const char *value)
{
	struct ip ip;
	return read_text(w, value, 60, &w->filter.client) && ip_parse(w->filter.client, &ip);
}

static bool
read_by(struct queue_words *w, const char *value)
{
	w->by = slice_of(value);
	return w->by.n != 0 && w->by.n <= HAND_BY_MOST;
}

static bool
read_limit(struct queue_words *w, const char *value)
{
	return slice_u64(slice_of(value), &w->limit) && w->limit != 0;
}

/* An option with a value. False: there is none of that name, or its value is wrong. */
static bool
read_valued(struct queue_words *w, const char *name, const char *value)
{
	if (strcmp(name, "--name") == 0)
		return read_text(w, value, 64, &w->filter.quarantine);
	if (strcmp(name, "--from") == 0)
		return queue_read_address(w, value, &w->filter.sender);
	if (strcmp(name, "--to") == 0)
		return queue_read_address(w, value, &w->filter.recipient);
	if (strcmp(name, "--client") == 0)
		return read_client(w, value);
	if (strcmp(name, "--rule") == 0)
		return read_text(w, value, 500, &w->filter.rule);
	if (strcmp(name, "--since") == 0)
		return queue_read_span(w, value, &w->filter.since_ms);
	if (strcmp(name, "--older") == 0)
		return queue_read_span(w, value, &w->filter.older_ms);
	if (strcmp(name, "--limit") == 0)
		return read_limit(w, value);
	if (strcmp(name, "--by") == 0)
		return read_by(w, value);
	w->has_count = true;
	return strcmp(name, "--count") == 0 && slice_u64(slice_of(value), &w->count);
}

static bool
read_flag(struct words *s, const char *name)
{
	struct queue_words *w = s->w;
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"--json", &w->json},
		{"--raw", &w->raw},
		{"--text", &w->text},
		{"--unscannable", &w->unscannable},
		{"--all", &w->any},
		{"--virus", &w->filter.virus},
		{"--spam", &s->spam},
		{"--no-learn", &s->no_learn},
	};
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strcmp(name, flags[i].name) != 0)
			continue;
		*flags[i].flag = true;
		w->any = w->any || flags[i].flag == &w->filter.virus;
		return true;
	}
	return false;
}

static bool
read_id(struct queue_words *w, const char *text)
{
	if (w->n_ids == IDS_MOST)
		return false;
	if (w->ids == NULL)
		w->ids = arena_array(w->arena, IDS_MOST, sizeof(*w->ids));
	return custody_id_parse(slice_of(text), &w->ids[w->n_ids++]);
}

static bool
read_verb(struct words *s, const char *text)
{
	for (int v = 0; v < VERBS; v++) {
		s->verb = (enum verb)v;
		if (strcmp(text, verb_names[v]) == 0)
			return true;
	}
	return false;
}

/* Words that stand alone: IDs, `to ADDRESS` of forward, what learn learns. */
static bool
read_word(struct words *s, int n, char *const words[], int *i)
{
	if (s->verb == VERB_LEARN && s->subject == NULL &&
		(strcmp(words[*i], "spam") == 0 || strcmp(words[*i], "ham") == 0)) {
		s->subject = words[*i];
		return true;
	}
	if (s->verb != VERB_FORWARD || strcmp(words[*i], "to") != 0)
		return read_id(s->w, words[*i]);
	if (++*i == n || s->w->to.n != 0)
		return false;
	s->w->to = slice_of(words[*i]);
	return s->w->to.n != 0 && s->w->to.n <= 400;
}

/* *wrong_out: the word that cannot be. */
static bool
read_words(struct words *s, int n, char *const words[], const char **wrong_out)
{
	int i = 0;
	*wrong_out = n > 0 ? words[0] : "";
	if (n > 0 && words[0][0] != '-' && !read_verb(s, words[i++]))
		return false;
	for (; i < n; i++) {
		int at = i;
		bool right = words[i][0] != '-' ? read_word(s, n, words, &i)
						: read_flag(s, words[i]);
		if (!right && words[at][0] == '-' && i + 1 < n)
			right = read_valued(s->w, words[i], words[i + 1]) && ++i;
		*wrong_out = words[at][0] == '-' && at + 1 < n ? words[at + 1] : words[at];
		if (!right)
			return false;
	}
	return true;
}

/* ---- what cannot be meant ---- */

static const char *
mistake_of(const struct words *s)
{
	const struct queue_words *w = s->w;
	bool acts =
		s->verb == VERB_RELEASE || s->verb == VERB_FORWARD || s->verb == VERB_DELETE;
	if (s->verb == VERB_SHOW && (w->n_ids != 1 || w->any || w->limit != 0))
		return "`quarantine show` needs the ID of one mail";
	if (w->n_ids != 0 && w->any)
		return "say IDs or a filter, not both";
	if (s->verb == VERB_LEARN && s->subject == NULL)
		return "`quarantine learn` needs `spam` or `ham`";
	if ((acts || s->verb == VERB_LEARN) && w->n_ids == 0 && !w->any)
		return "that needs an ID, a filter, or --all";
	if (s->verb == VERB_FORWARD && w->to.n == 0)
		return "`quarantine forward` needs `to ADDRESS`";
	if (s->verb == VERB_LIST && w->n_ids != 0)
		return "`quarantine list` lists by a filter; `quarantine show ID` shows one";
	if ((!acts && w->has_count) || ((w->raw || w->text) && s->verb != VERB_SHOW) ||
		(w->by.n != 0 && !acts && s->verb != VERB_SHOW) ||
		(w->unscannable && s->verb == VERB_LIST) ||
		(s->spam && s->verb != VERB_DELETE) || (s->no_learn && s->verb != VERB_RELEASE))
		return "that is no option of it";
	if (w->raw + w->text + w->json > 1 && s->verb == VERB_SHOW)
		return "say one of --raw, --text and --json";
	return NULL;
}

/* The keeper looks too; here it can be said before anything is done. */
static int
check_address(struct queue_tool *q, struct err *err)
{
	struct conf_report report;
	struct address to;
	conf_report_init(&report);
	struct conf *c = conf_read(q->tool->config, &report);
	conf_report_fini(&report);
	if (c == NULL)
		return err_set(err, "%s is not right (postern check)", q->tool->config);
	int result = 0;
	enum address_error wrong = address_parse(q->words.to, false, q->words.arena, &to);
	if (wrong != ADDRESS_OK)
		result = err_set(err, "\"%.*s\" is no address: %s", SLICE_ARG(q->words.to),
			address_error_text(wrong));
	else if (conf_domain_find(c, to.domain) == NULL)
		result = err_set(err,
			"%.*s is not a declared domain: a mail in quarantine is forwarded to "
			"your own domains alone",
			SLICE_ARG(to.domain));
	conf_free(&c);
	return result;
}

/* ---- the verbs ---- */

static int
show(struct queue_tool *q, struct err *err)
{
	struct queue_chosen c;
	int result = queue_choose(q, &c, err); /* it is in quarantine */
	mem_free(c.ids);
	if (result < 0)
		return -1;
	q->words.filter.by_id = true;
	q->words.filter.id = q->words.ids[0];
	if (q->words.raw)
		return queue_body(q, err);
	if (q->words.text)
		return queue_text(q, err);
	return queue_head(q, err);
}

/* Who releases says that it is no spam; who deletes says nothing, unless he says so. */
static struct quarantine_lessons *
lessons_of(const struct words *s)
{
	bool spam = s->spam || (s->subject != NULL && strcmp(s->subject, "spam") == 0);
	if (s->verb == VERB_RELEASE && !s->no_learn)
		return quarantine_lessons_new(false, false, false);
	return s->verb == VERB_LEARN || s->spam ? quarantine_lessons_new(spam, true, true)
						: NULL;
}

static int
run(struct queue_tool *q, const struct words *s)
{
	struct err err;
	enum verb verb = s->verb;
	int result = queue_read_spool(q, &err);
	q->lessons = lessons_of(s);
	if (result == 0 && verb == VERB_FORWARD)
		result = check_address(q, &err);
	if (result == 0) {
		q->client = hand_client_open(q->words.spool, &err);
		result = q->client != NULL ? 0 : -1;
	}
	if (result == 0 && verb == VERB_RELEASE)
		return quarantine_act(q, HAND_RELEASE);
	if (result == 0 && verb == VERB_LEARN)
		return quarantine_learn(q);
	if (result == 0 && verb == VERB_FORWARD)
		return quarantine_act(q, HAND_FORWARD);
	if (result == 0 && verb == VERB_DELETE)
		return quarantine_act(q, HAND_DROP);
	if (result == 0)
		result = verb == VERB_SHOW ? show(q, &err) : queue_list(q, &err);
	if (result < 0)
		fprintf(q->tool->err, "postern: %s\n", err.text);
	return result < 0 ? 1 : 0;
}

int
tool_quarantine(const struct tool *t, int n, char *const words[])
{
	struct queue_tool q = {.tool = t, .now_ms = (uint64_t)clock_wall_ms()};
	struct words s = {.w = &q.words, .verb = VERB_LIST};
	const char *wrong = "", *mistake = NULL;
	int status = 2;
	q.words.arena = arena_new(WORDS_ARENA);
	q.words.filter.by_kind = true;
	q.words.filter.kind = STORED_QUARANTINE;
	bool right = read_words(&s, n, words, &wrong);
	if (!right)
		fprintf(t->err, "postern: \"%s\" cannot stand there\n", wrong);
	else if ((mistake = mistake_of(&s)) != NULL)
		fprintf(t->err, "postern: %s\n", mistake);
	else
		status = run(&q, &s);
	if (!right || mistake != NULL)
		tool_usage(t, usage);
	quarantine_lessons_free(&q.lessons);
	hand_client_close(&q.client);
	arena_free(&q.words.arena);
	return status;
}
