/*
 * A mail as the spam filter sees it, for those who teach the gateway: its features, and what
 * the gateway would make of it by the models as they stand on disk. Without the world: no
 * client, no DNS, no verdict of authentication.
 */
#ifndef MAIN_MAIL_LOOK_H
#define MAIN_MAIL_LOOK_H

#include "base/err.h"
#include "conf/conf.h"
#include "filters/spam_score.h"

struct mail_look;

/* hostname: ours, to know our Received; borrowed. */
struct mail_look *mail_look_new(struct slice hostname);
void mail_look_free(struct mail_look **l);
/* The weights of `filter spam`; until then those of the table count. */
void mail_look_weights(struct mail_look *l, const struct conf *c);

/*
 * Reads the site's model in the spool, and the domain's own where it is not empty; until then
 * nothing was learned. -1 and err: it cannot be read, and what was read before is kept.
 */
int
mail_look_models(struct mail_look *l, struct slice spool, struct slice domain, struct err *err);

/* What was read, as sessions share it; NULL: nothing. */
const struct spam_shared *mail_look_shared(const struct mail_look *l);

/* The first bytes of a mail; features live until the next one. */
const struct spam_features *mail_look_at(struct mail_look *l, struct slice mail);
/* The mail that was looked at last: 0 to 1. */
double mail_look_judge(struct mail_look *l);

#endif
