/*
 * The mails of a trial and their order; see spam_trial.h. A corpus is a folder with ham and
 * spam, each a folder, a Maildir or an mbox (`ham.mbox`), or a folder of such folders. They are
 * ordered by when they came: by a file that says so, by the topmost Received, by Date; mails of
 * one moment, and those without any, by their names.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/must.h"
#include "conf/file.h"
#include "main/mail_date.h"
#include "main/mail_text.h"
#include "main/spam_trial_priv.h"

enum { LIST_ARENA = 1024 * 1024 * 1024, DATES_MOST = 512 * 1024 * 1024 };

struct lister {
	const struct trial_wanted *wanted;
	struct trial_list *list;
	struct map *dates; /* name to int64_t; NULL: as the mails say */
};

/* ---- where they are ---- */

static int
add_source(struct lister *l, const char *path, bool spam, struct err *err)
{
	struct trial_list *list = l->list;
	struct stat st;
	if (stat(path, &st) < 0)
		return 0;
	if (list->n_sources == TRIAL_SOURCES_MOST)
		return err_set(err, "%s has too many folders", l->wanted->corpus);
	struct corpus *c = corpus_open(path, NULL, err);
	if (c == NULL)
		return -1;
	list->sources[list->n_sources++] = (struct trial_source){c, spam};
	return 0;
}

/* ham, spam, ham.mbox, spam.mbox of a folder. */
static int
add_sources(struct lister *l, const char *folder, struct err *err)
{
	static const struct {
		const char *name;
		bool spam;
	} kinds[] = {{"ham", false}, {"ham.mbox", false}, {"spam", true}, {"spam.mbox", true}};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct slice path =
			arena_printf(l->list->arena, "%s/%s", folder, kinds[i].name);
		if (add_source(l, path.p, kinds[i].spam, err) < 0)
			return -1;
	}
	return 0;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
find_sources(struct lister *l, struct err *err)
{
	const char *corpus = l->wanted->corpus, *folders[TRIAL_SOURCES_MOST];
	size_t n = 0;
	DIR *d = opendir(corpus);
	if (d == NULL)
		return err_sys(err, "cannot read the folder %s", corpus);
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		if (e->d_name[0] != '.' && strcmp(e->d_name, "ham") != 0 &&
			strcmp(e->d_name, "spam") != 0 && n < TRIAL_SOURCES_MOST)
			folders[n++] =
				arena_printf(l->list->arena, "%s/%s", corpus, e->d_name).p;
	closedir(d);
	qsort(folders, n, sizeof(*folders), by_text);
	if (add_sources(l, corpus, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (add_sources(l, folders[i], err) < 0)
			return -1;
	if (l->list->n_sources == 0)
		return err_set(err, "%s has neither ham nor spam", corpus);
	return 0;
}

/* ---- when they came ---- */

/* The columns of names and dates: as a first line says that names them `id` and `date`. */
static bool
read_columns(struct slice line, size_t *id_out, size_t *date_out)
{
	struct slice word, rest = line;
	bool id = false, date = false;
	for (size_t i = 0; rest.n != 0; i++) {
		slice_cut(rest, '\t', &word, &rest);
		word = slice_trim(word);
		if (slice_eq_nocase(word, SLICE("id"))) {
			*id_out = i;
			id = true;
		} else if (slice_eq_nocase(word, SLICE("date"))) {
			*date_out = i;
			date = true;
		}
	}
	return id && date;
}

static struct slice
column(struct slice line, size_t i)
{
	struct slice word = SLICE_NONE, rest = line;
	for (size_t k = 0; k <= i; k++)
		slice_cut(rest, '\t', &word, &rest);
	return slice_trim(word);
}

static int
read_dates(struct lister *l, struct err *err)
{
	struct slice text, line;
	struct arena *a = l->list->arena;
	size_t id = 0, date = 1;
	if (file_read(l->wanted->dates, DATES_MOST, a, &text, err) < 0)
		return -1;
	l->dates = map_new(a, false);
	bool first = true;
	for (struct slice rest = text; rest.n != 0; first = false) {
		slice_cut(rest, '\n', &line, &rest);
		if (slice_trim(line).n == 0 || (first && read_columns(line, &id, &date)))
			continue;
		struct slice when = column(line, date);
		if (when.n == 0)
			continue;
		int64_t *ms = ARENA_NEW(a, int64_t);
		*ms = mail_date_iso(when);
		if (*ms < 0)
			*ms = mail_date(when);
		if (*ms < 0)
			return err_set(err, "%s: \"%.*s\" is no date", l->wanted->dates,
				SLICE_ARG(slice_first(when, 100)));
		map_put(l->dates, column(line, id), ms);
	}
	return 0;
}

/* What the file of dates may call it: its path below the corpus, or its file's name. */
static int64_t
date_in_file(const struct lister *l, const char *path)
{
	size_t n = strlen(l->wanted->corpus);
	const char *below = strncmp(path, l->wanted->corpus, n) == 0 ? path + n : path;
	while (*below == '/')
		below++;
	const int64_t *ms = map_get(l->dates, slice_of(below));
	const char *slash = strrchr(path, '/');
	if (ms == NULL && slash != NULL)
		ms = map_get(l->dates, slice_of(slash + 1));
	return ms != NULL ? *ms : -1;
}

static void
add_mail(struct lister *l, size_t source, const struct corpus_mail *m)
{
	struct trial_list *list = l->list;
	struct mail_dates d = mail_dates_of(m->bytes);
	int64_t ms = l->dates != NULL ? date_in_file(l, m->path) : -1;
	if (ms < 0)
		ms = d.received >= 0 ? d.received : d.date;
	if (list->n == list->room) {
		list->room = list->room == 0 ? 1024 : 2 * list->room;
		list->mails = mem_resize(list->mails, list->room * sizeof(*list->mails));
	}
	list->undated += ms < 0;
	list->mails[list->n++] = (struct trial_mail){.place = m->place,
		.ms = ms,
		.received_ms = d.received,
		.source = (uint16_t)source,
		.spam = list->sources[source].spam};
}

/* In the order of sources, files and places within them where it is one moment. */
static int
by_time(const void *a, const void *b)
{
	const struct trial_mail *x = a, *y = b;
	if (x->ms != y->ms)
		return x->ms < y->ms ? -1 : 1;
	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	if (x->place.file != y->place.file)
		return x->place.file < y->place.file ? -1 : 1;
	return (x->place.offset > y->place.offset) - (x->place.offset < y->place.offset);
}

/* The first 60 % of each kind. */
static void
split(struct trial_list *l)
{
	size_t all[2] = {0, 0}, seen[2] = {0, 0};
	for (size_t i = 0; i < l->n; i++)
		all[l->mails[i].spam]++;
	for (size_t i = 0; i < l->n; i++) {
		struct trial_mail *m = &l->mails[i];
		m->early = ++seen[m->spam] <= all[m->spam] * 6 / 10;
	}
}

void
trial_passed_over(const struct trial_wanted *w, const struct corpus_mail *m, const char *why)
{
	fputs("postern: passed over: ", w->err);
	mail_text_safe(w->err, slice_of(m->path), false);
	if (m->number != 0)
		fprintf(w->err, ":%u", m->number);
	fprintf(w->err, " %s\n", why);
}

int
trial_list_make(const struct trial_wanted *w, struct trial_list *l_out, struct err *err)
{
	struct lister l = {w, l_out, NULL};
	struct corpus_mail m;
	*l_out = (struct trial_list){.arena = arena_new(LIST_ARENA)};
	l_out->sources = mem_array(TRIAL_SOURCES_MOST, sizeof(*l_out->sources));
	if (find_sources(&l, err) < 0 || (w->dates != NULL && read_dates(&l, err) < 0))
		return -1;
	for (size_t i = 0; i < l_out->n_sources; i++) {
		while (corpus_next(l_out->sources[i].corpus, &m)) {
			if (m.wrong == NULL) {
				add_mail(&l, i, &m);
				continue;
			}
			l_out->passed_over++;
			trial_passed_over(w, &m, m.wrong);
		}
	}
	if (l_out->n == 0)
		return err_set(err, "%s has no mail that can be read", w->corpus);
	qsort(l_out->mails, l_out->n, sizeof(*l_out->mails), by_time);
	split(l_out);
	return 0;
}

void
trial_list_free(struct trial_list *l)
{
	for (size_t i = 0; i < l->n_sources; i++)
		corpus_free(&l->sources[i].corpus);
	mem_free(l->sources);
	mem_free(l->mails);
	arena_free(&l->arena);
}
