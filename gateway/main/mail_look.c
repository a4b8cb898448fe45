/*
 * Mails for teaching; see mail_look.h. The models are read into memory that looks like what the
 * processes of the gateway share, so that a judgement is made as theirs is.
 */
#include "main/mail_look.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "filters/flt_spam.h"
#include "io/shared.h"
#include "queue/spam_files.h"

enum { MAIL_ARENA = 64 * 1024 * 1024, PATH_MOST = 4096 };

struct mail_look {
	struct slice hostname, domain;
	struct arena *arena;        /* of the mail at hand */
	struct spam_shared *models; /* NULL: none were read */
	double weights[SPAM_EVIDENCES];
	struct spam_view view;
	struct spam_features features;
	struct spam_found found;
};

struct mail_look *
mail_look_new(struct slice hostname)
{
	struct mail_look *l = MEM_NEW(struct mail_look);
	l->hostname = hostname;
	l->arena = arena_new(MAIL_ARENA);
	(void)flt_spam_weights(NULL, l->weights);
	return l;
}

/* A name that is none is the business of `postern check`. */
void
mail_look_weights(struct mail_look *l, const struct conf *c)
{
	(void)flt_spam_weights(conf_filter_find(c, "spam"), l->weights);
}

void
mail_look_free(struct mail_look **l)
{
	if (*l == NULL)
		return;
	arena_free(&(*l)->arena);
	mem_free(*l);
	*l = NULL;
}

/* One that is not there has learned nothing. */
static int
read_model(struct mail_look *l, int dir, struct slice domain, struct err *err)
{
	char name[SPAM_NAME_BYTES];
	struct buf file;
	int64_t when_ms;
	if (!spam_files_name(domain, name))
		return err_set(err, "%.*s is no name of a model", SLICE_ARG(domain));
	buf_init(&file, SPAM_FILE_MOST + 1);
	int result = spam_files_read(dir, name, &file, &when_ms, err);
	struct spam_model *m =
		result > 0 ? spam_model_unpack(buf_slice(&file), err) : spam_model_new();
	buf_fini(&file);
	if (result >= 0 && m != NULL)
		(void)spam_shared_publish(l->models, domain, spam_model_weights(m));
	result = result >= 0 && m != NULL ? 0 : -1;
	spam_model_free(&m);
	return result;
}

int
mail_look_models(struct mail_look *l, struct slice spool, struct slice domain, struct err *err)
{
	char path[PATH_MOST];
	if (l->models == NULL)
		l->models = shared_new(spam_shared_bytes(), "models", err);
	if (l->models == NULL)
		return -1;
	snprintf(path, sizeof(path), "%.*s/spam", SLICE_ARG(spool));
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, "open %s", path);
	int result = read_model(l, dir, SLICE_NONE, err);
	if (result == 0 && domain.n != 0)
		result = read_model(l, dir, domain, err);
	close(dir);
	l->domain = domain;
	return result;
}

const struct spam_shared *
mail_look_shared(const struct mail_look *l)
{
	return l->models;
}

const struct spam_features *
mail_look_at(struct mail_look *l, struct slice mail)
{
	arena_reset(l->arena);
	spam_view_of_mail(mail, l->hostname, l->arena, &l->view);
	spam_features_of(&l->view, l->arena, &l->features);
	static const struct spam_world nothing;
	spam_evidence_gather(&l->view, &nothing, l->arena, &l->found);
	spam_features_know(&l->features, &l->found, l->weights);
	return &l->features;
}

double
mail_look_judge(struct mail_look *l)
{
	struct spam_judgement judgement;
	spam_judge(&(struct spam_input){.view = &l->view,
			   .features = &l->features,
			   .found = &l->found,
			   .weights = l->weights,
			   .shared = l->models,
			   .domain = l->domain},
		&judgement);
	return judgement.probability;
}
