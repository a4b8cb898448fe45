/*
 * `postern learn` and `postern unlearn`: mails are made into numbers here and taught to the
 * running gateway (teacher.h); see learn_priv.h for where it is done. What the gateway makes of
 * the same mails before and after is told at the end.
 */
#include <string.h>

#include "conf/conf.h"
#include "main/learn_priv.h"

enum { WORDS_ARENA = 1 << 20 };

static const char usage[] =
	"learn spam | ham [--domain NAME] [--json] PATH ...\n"
	"       postern learn status [--json]\n"
	"       postern unlearn [--domain NAME] [--json] PATH ...\n"
	"PATH: a mail, an mbox, a Maildir, a folder of these, - for standard "
	"input";

/* ---- the command line ---- */

static bool
read_domain(struct learn *l, const char *text)
{
	return l->domain.n == 0 && domain_to_ascii(slice_of(text), l->arena, &l->domain) &&
	       l->domain.n <= HAND_DOMAIN_MOST;
}

/* Paths stand behind all options; "--" ends those. NULL, or the word that cannot be. */
static const char *
read_words(struct learn *l, int n, char *const words[])
{
	int i = 0;
	for (; i < n && words[i][0] == '-' && words[i][1] != '\0'; i++) {
		if (strcmp(words[i], "--") == 0) {
			i++;
			break;
		}
		if (strcmp(words[i], "--json") == 0)
			l->json = true;
		else if (strcmp(words[i], "--domain") != 0 || i + 1 == n)
			return words[i];
		else if (!read_domain(l, words[++i]))
			return words[i];
	}
	l->paths = words + i;
	l->n_paths = (size_t)(n - i);
	for (; i < n; i++) {
		bool is_stdin = strcmp(words[i], "-") == 0;
		if (words[i][0] == '\0' || (is_stdin && l->has_stdin))
			return words[i];
		l->has_stdin = l->has_stdin || is_stdin;
	}
	return NULL;
}

/* ---- what is to be there ---- */

static int
open_gateway(struct learn *l, struct err *err)
{
	struct conf_report report;
	conf_report_init(&report);
	struct conf *c = conf_read(l->tool->config, &report);
	conf_report_fini(&report);
	if (c == NULL)
		return err_set(err, "%s is not right (postern check)", l->tool->config);
	l->spool = arena_slice(l->arena, c->spool);
	l->hostname = arena_slice(l->arena, c->hostname);
	l->look = mail_look_new(l->hostname);
	mail_look_weights(l->look, c);
	conf_free(&c);
	l->client = hand_client_open(l->spool, err);
	return l->client != NULL ? 0 : -1;
}

static int
totals(struct learn *l, unsigned when, struct err *err)
{
	struct hand_spam_model list[HAND_SPAM_MODELS_MOST];
	size_t n;
	if (teacher_status(l->client, list, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!slice_eq(list[i].domain, l->domain))
			continue;
		l->totals[when] = list[i];
		l->totals[when].domain = SLICE_NONE;
		return 0;
	}
	return err_set(err,
		"%.*s has no model of its own: `model for` of `filter spam` names those that "
		"have",
		SLICE_ARG(l->domain));
}

/* The file is what the gateway judges by once all that was taught before is in it. */
static int
begin(struct learn *l, struct err *err)
{
	struct hand_spam_done done;
	l->teacher = teacher_new(l->client, l->domain, learn_on_learned, l);
	if (totals(l, 0, err) < 0)
		return -1;
	if (l->teach == HAND_TEACH_UNLEARN)
		return 0;
	if (teacher_commit(l->teacher, &done, err) < 0)
		return -1;
	l->has_judged =
		done.stored && mail_look_models(l->look, l->spool, l->domain, &l->why_not) == 0;
	if (!done.stored)
		err_set(&l->why_not, "the model is not on disk: %.*s", SLICE_ARG(done.why));
	if (!l->has_judged)
		fprintf(l->tool->err, "postern: no figures of how these mails are judged: %s\n",
			l->why_not.text);
	return 0;
}

static int
judge_again(struct learn *l, struct err *err)
{
	if (!l->has_judged || !l->done.stored || l->stopped || l->has_stdin || l->mails == 0)
		return 0;
	if (mail_look_models(l->look, l->spool, l->domain, err) < 0 ||
		learn_judge_again(l, err) < 0)
		return -1;
	l->has_again = !l->stopped;
	return 0;
}

/* ---- the commands ---- */

/* What the keeper has said it knows by now; it was not asked to write it. */
static void
tell_break(const struct learn *l, const struct err *err)
{
	const struct teacher_counts *c = teacher_counts(l->teacher);
	fprintf(l->tool->err,
		"postern: %s\npostern: %llu mails were taught before that, and may be "
		"forgotten: "
		"teach the same again, what is known is passed over\n",
		err->text, (unsigned long long)(c->taught[l->teach] + c->changed + c->known));
}

static int
learn(struct learn *l)
{
	struct err err;
	if (open_gateway(l, &err) < 0 || begin(l, &err) < 0) {
		fprintf(l->tool->err, "postern: %s\n", err.text);
		return 1;
	}
	if (learn_teach_all(l, &err) < 0 || totals(l, 1, &err) < 0) {
		tell_break(l, &err);
		return 1;
	}
	bool failed = judge_again(l, &err) < 0;
	if (failed)
		fprintf(l->tool->err, "postern: %s\n", err.text);
	learn_tell(l);
	if (l->stopped)
		fputs(l->has_judged && l->again.n != 0
				? "postern: stopped while judging; all of it was taught\n"
				: "postern: stopped; what was taught until then is kept\n",
			l->tool->err);
	if (!l->done.stored)
		fprintf(l->tool->err,
			"postern: learned, and not on disk: %s; the gateway tries again\n",
			l->why_not.text);
	return failed || l->stopped || !l->done.stored || l->unopened != 0 || l->mails == 0;
}

static int
show_status(struct learn *l)
{
	struct hand_spam_model list[HAND_SPAM_MODELS_MOST];
	struct err err;
	size_t n;
	if (open_gateway(l, &err) < 0 || teacher_status(l->client, list, &n, &err) < 0) {
		fprintf(l->tool->err, "postern: %s\n", err.text);
		return 1;
	}
	learn_tell_status(l, list, n);
	return 0;
}

static int
run(const struct tool *t, struct learn *l, bool status, int n, char *const words[])
{
	l->tool = t;
	l->arena = arena_new(WORDS_ARENA);
	const char *bad = read_words(l, n, words);
	int result = 2;
	if (bad != NULL)
		fprintf(t->err, "postern: \"%s\" cannot stand there\n", bad);
	else if (status != (l->n_paths == 0) || (status && l->domain.n != 0))
		fprintf(t->err, status ? "postern: `learn status` shows all models\n"
				       : "postern: that needs a PATH\n");
	else
		result = status ? show_status(l) : learn(l);
	if (result == 2)
		tool_usage(t, usage);
	teacher_free(&l->teacher);
	mail_look_free(&l->look);
	hand_client_close(&l->client);
	arena_free(&l->arena);
	return result;
}

int
tool_learn(const struct tool *t, int n, char *const words[])
{
	struct learn l = {.teach = HAND_TEACH_SPAM};
	bool status = n > 0 && strcmp(words[0], "status") == 0;
	if (n > 0 && strcmp(words[0], "ham") == 0)
		l.teach = HAND_TEACH_HAM;
	else if (n == 0 || (!status && strcmp(words[0], "spam") != 0))
		return tool_usage(t, usage);
	return run(t, &l, status, n - 1, words + 1);
}

int
tool_unlearn(const struct tool *t, int n, char *const words[])
{
	struct learn l = {.teach = HAND_TEACH_UNLEARN};
	return run(t, &l, false, n, words);
}
