/*
 * The spam filter tried on mails whose truth is known (`postern spam test`): all of them in the
 * order in which they came, each read, judged in every mode that is wanted, then taught to the
 * models that learn in this trial. Nothing of the running gateway is asked or changed. Memory
 * grows with the number of mails, not with their bytes.
 */
#ifndef MAIN_SPAM_TRIAL_H
#define MAIN_SPAM_TRIAL_H

#include <stdio.h>

#include "filters/spam_model.h"
#include "main/roc.h"

enum trial_mode {
	TRIAL_DAY_ONE,  /* what ships, nothing taught */
	TRIAL_SITE,     /* with the site's model as it is */
	TRIAL_ONLINE,   /* a new site: each judged, then taught */
	TRIAL_SPLIT,    /* taught the first 60 % of ham and of spam, judged on the rest */
	TRIAL_FOLDERS,  /* the same, but taught a folder of ham, then one of spam */
	TRIAL_EVIDENCE, /* parts alone, from here on: the table of evidence */
	TRIAL_SHIPPED,  /* the shipped model */
	TRIAL_RAW,      /* each view of the model that `online` teaches */
	TRIAL_TEXT,
	TRIAL_MODES
};
const char *trial_mode_text(enum trial_mode mode); /* "day one" */

struct trial_wanted {
	const char *corpus; /* folder with ham and spam, or folders with them */
	const char *dates;  /* file with a date for each; NULL: as the mails say */
	bool modes[TRIAL_MODES];
	const double *weights;           /* of evidence; NULL: those of the table */
	struct slice hostname;           /* ours; may be empty */
	const struct spam_weights *site; /* for TRIAL_SITE, TRIAL_SITE */
	FILE *rows;                      /* a line for each mail and mode; NULL: none */
	FILE *err;                       /* what is passed over is told here */
	bool nothing_shipped;            /* as if no model were shipped */
	unsigned worst;                  /* of each side and mode, so many are kept */
};

struct trial_worst {
	double sum;
	char *line; /* as in rows; may hold any byte but controls */
};

struct trial_result {         /* of a mode */
	struct roc_row *rows; /* in order of time */
	size_t n;
	struct trial_worst *worst[2]; /* of ham, of spam: the worst first */
	size_t n_worst[2];
};

struct trial {
	size_t mails, passed_over, undated;
	size_t bounces[2];               /* of ham, of spam */
	size_t bounces_shipped;          /* that the shipped model had a say in */
	size_t bounces_over[ROC_LEVELS]; /* of ham, day one */
	double seconds, cpu_seconds;
	struct trial_result results[TRIAL_MODES];
};

/* 0; -1 and err: there is nothing to be judged. The trial is to be freed after both. */
int trial_run(const struct trial_wanted *w, struct trial *t_out, struct err *err);
void trial_free(struct trial *t);

#endif
