/*
 * The figures of a trial of the spam filter, for people and as JSON. Percentages; where none
 * was seen, "<x": below x % of all such mails, 19 times of 20.
 */
#ifndef MAIN_SPAM_TABLE_H
#define MAIN_SPAM_TABLE_H

#include "main/spam_trial.h"

void spam_table(FILE *f, const struct trial_wanted *w, const struct trial *t);
void spam_table_json(FILE *f, const struct trial_wanted *w, const struct trial *t);

#endif
