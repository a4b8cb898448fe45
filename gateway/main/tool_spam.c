/*
 * `postern spam test`: what the spam filter makes of mails whose truth is known, as a
 * postmaster needs it before he lets it decide. The configuration, where there is one, gives
 * the weights of evidence, our name, and the spool with the site's model; nothing is sent,
 * nothing is taught to the site.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "conf/file.h"
#include "filters/flt_spam.h"
#include "main/spam_table.h"
#include "main/tool.h"

enum { WORST_MOST = 10000, FILE_ARENA = SPAM_FILE_MOST + (1 << 20) };

static const char usage[] =
	"spam test [--mode MODE ...] [--parts] [--dates FILE] [--model FILE | none]\n"
	"           [--rows FILE] [--worst N] [--json] CORPUS\n"
	"       MODE: day-one, this-site, online, 60/40; folders";

struct spam_tool {
	const struct tool *tool;
	struct trial_wanted wanted;
	struct arena *arena;
	const char *model, *rows;
	struct spam_model *site;
	double weights[SPAM_EVIDENCES];
	bool any_mode, parts, json;
};

/* ---- the command line ---- */

static bool
choose_mode(struct spam_tool *s, const char *word)
{
	static const char *const words[TRIAL_EVIDENCE] = {
		[TRIAL_DAY_ONE] = "day-one",
		[TRIAL_SITE] = "this-site",
		[TRIAL_ONLINE] = "online",
		[TRIAL_SPLIT] = "60/40",
		[TRIAL_FOLDERS] = "folders",
	};
	for (size_t i = 0; i < TRIAL_EVIDENCE; i++) {
		if (strcmp(word, words[i]) != 0)
			continue;
		s->wanted.modes[i] = s->any_mode = true;
		return true;
	}
	return false;
}

static bool
choose_worst(struct spam_tool *s, const char *word)
{
	uint64_t n;
	if (!slice_u64(slice_of(word), &n) || n > WORST_MOST)
		return false;
	s->wanted.worst = (unsigned)n;
	return true;
}

/* An option with a value; false: it is none, or not with that one. */
static bool
read_valued(struct spam_tool *s, const char *option, const char *value)
{
	const struct {
		const char *name, **place;
	} files[] = {
		{"--dates", &s->wanted.dates}, {"--model", &s->model}, {"--rows", &s->rows}};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strcmp(option, files[i].name) != 0)
			continue;
		*files[i].place = value;
		return true;
	}
	return (strcmp(option, "--mode") == 0 && choose_mode(s, value)) ||
	       (strcmp(option, "--worst") == 0 && choose_worst(s, value));
}

static bool
read_words(struct spam_tool *s, int n, char *const words[])
{
	if (n < 1 || strcmp(words[0], "test") != 0)
		return false;
	for (int i = 1; i < n; i++) {
		if (strcmp(words[i], "--parts") == 0)
			s->parts = true;
		else if (strcmp(words[i], "--json") == 0)
			s->json = true;
		else if (i + 1 < n && read_valued(s, words[i], words[i + 1]))
			i++;
		else if (words[i][0] != '-' && s->wanted.corpus == NULL)
			s->wanted.corpus = words[i];
		else
			return false;
	}
	return s->wanted.corpus != NULL;
}

/* ---- what it stands on ---- */

static int
load_shipped(struct spam_tool *s, struct err *err)
{
	struct slice file;
	s->wanted.nothing_shipped = s->model != NULL && strcmp(s->model, "none") == 0;
	if (s->model == NULL || s->wanted.nothing_shipped)
		return 0;
	if (file_read(s->model, SPAM_FILE_MOST, s->arena, &file, err) < 0)
		return -1;
	if (spam_shipped_load(file, err) < 0)
		return err_wrap(err, "%s", s->model);
	return 0;
}

/* The model in the spool. 0 too where there is none: `this site` is left out then. */
static int
load_site(struct spam_tool *s, const struct conf *c, struct err *err)
{
	struct slice file;
	bool *wanted = &s->wanted.modes[TRIAL_SITE];
	const char *path =
		arena_printf(s->arena, "%.*s/spam/site.model", SLICE_ARG(c->spool)).p;
	if (c->spool.n == 0 || (access(path, F_OK) < 0 && errno == ENOENT)) {
		if (*wanted && s->any_mode)
			return err_set(err, "this site has not been taught anything yet");
		*wanted = false;
		return 0;
	}
	if (!*wanted)
		return 0;
	if (file_read(path, SPAM_FILE_MOST, s->arena, &file, err) < 0)
		return -1;
	s->site = spam_model_unpack(file, err);
	if (s->site == NULL)
		return err_wrap(err, "%s", path);
	s->wanted.site = spam_model_weights(s->site);
	return 0;
}

/* Of `filter spam`, where the configuration has one. */
static int
take_weights(struct spam_tool *s, const struct conf *c, struct err *err)
{
	const struct conf_weight *unknown =
		flt_spam_weights(conf_filter_find(c, "spam"), s->weights);
	if (unknown != NULL)
		return err_set(err, "%s: there is no evidence \"%.*s\"", s->tool->config,
			SLICE_ARG(unknown->name));
	s->wanted.weights = s->weights;
	return 0;
}

/* Without -f a machine may have none: what ships is tested. */
static int
read_config(struct spam_tool *s, struct err *err)
{
	struct conf_report report;
	const char *path = s->tool->config;
	if (!s->tool->config_given && access(path, F_OK) < 0) {
		if (s->wanted.modes[TRIAL_SITE] && s->any_mode)
			return err_sys(err, "cannot read %s", path);
		s->wanted.modes[TRIAL_SITE] = false;
		return 0;
	}
	conf_report_init(&report);
	struct conf *c = conf_read(path, &report);
	conf_report_fini(&report);
	if (c == NULL)
		return err_set(err, "%s is not right (postern check)", path);
	s->wanted.hostname = arena_slice(s->arena, c->hostname);
	int result = take_weights(s, c, err);
	if (result == 0)
		result = load_site(s, c, err);
	conf_free(&c);
	return result;
}

static int
open_rows(struct spam_tool *s, struct err *err)
{
	if (s->rows == NULL)
		return 0;
	s->wanted.rows = fopen(s->rows, "w");
	if (s->wanted.rows == NULL)
		return err_sys(err, "cannot write %s", s->rows);
	fputs("mode\tpath\tlabel\tprobability\tsum\twhy\n", s->wanted.rows);
	return 0;
}

static int
close_rows(struct spam_tool *s, struct err *err)
{
	FILE *f = s->wanted.rows;
	s->wanted.rows = NULL;
	if (f == NULL)
		return 0;
	bool failed = ferror(f) != 0;
	if (fclose(f) != 0 || failed)
		return err_sys(err, "cannot write %s", s->rows);
	return 0;
}

static int
test(struct spam_tool *s, struct err *err)
{
	struct trial t;
	struct trial_wanted *w = &s->wanted;
	for (size_t i = 0; i < TRIAL_MODES; i++)
		w->modes[i] =
			w->modes[i] ||
			(i < TRIAL_FOLDERS ? !s->any_mode : i > TRIAL_FOLDERS && s->parts);
	if (read_config(s, err) < 0 || load_shipped(s, err) < 0 || open_rows(s, err) < 0)
		return -1;
	int result = trial_run(w, &t, err);
	if (result == 0 && s->json)
		spam_table_json(s->tool->out, w, &t);
	else if (result == 0)
		spam_table(s->tool->out, w, &t);
	trial_free(&t);
	if (result == 0)
		return close_rows(s, err);
	struct err second;
	close_rows(s, &second);
	return result;
}

int
tool_spam(const struct tool *t, int n, char *const words[])
{
	struct spam_tool s = {.tool = t, .wanted = {.err = t->err}};
	struct err err;
	if (!read_words(&s, n, words))
		return tool_usage(t, usage);
	s.arena = arena_new(2 * FILE_ARENA);
	int result = test(&s, &err);
	if (result < 0)
		fprintf(t->err, "postern: %s\n", err.text);
	spam_model_free(&s.site);
	arena_free(&s.arena);
	return result < 0 ? 1 : 0;
}
