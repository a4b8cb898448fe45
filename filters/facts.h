/*
 * The facts of one session: what is known, what was asked, at which stage we are. It stands
 * between a driver (which knows the protocol and asks the world) and policy_eval (which wants
 * facts), and calls the filters.
 *
 *   driver: facts_new -> facts_connect -> facts_helo -> facts_mail -> facts_rcpt ... ->
 * facts_data
 *           -> facts_header -> facts_body* -> facts_body_end -> facts_mail_end
 *   at each stage: facts_eval -> verdict; while it waits: take facts_question, ask, answer,
 * again
 */
#ifndef FILTERS_FACTS_H
#define FILTERS_FACTS_H

#include "filters/filter.h"

struct facts;

/* All facts of all filters, NULL-ended, made once; for policy_compile, check and the manual. */
const struct fact_decl *const *facts_all(void);

/* session is borrowed and may change between calls as the protocol goes on. */
struct facts *facts_new(const struct conf *conf, const struct policy *policy,
	const struct flt_session *session);
void facts_free(struct facts **f);

void
facts_helo(struct facts *f); /* HELO/EHLO came, or TLS started: what hung on it is forgotten */
void
facts_mail(struct facts *f, const struct flt_mail *mail); /* a transaction begins; borrowed */
/* One recipient more; the number it has. Its facts are gathered by that number. */
size_t facts_rcpt(struct facts *f, const struct flt_recipient *r);
void facts_rcpt_drop(struct facts *f); /* the last one was refused: forget it */
void facts_data(struct facts *f);
void facts_header(struct facts *f);                   /* mail->message is set */
void facts_body(struct facts *f, struct slice piece); /* after the header: pieces of the body */
void facts_body_end(struct facts *f);
void
facts_mail_end(struct facts *f); /* all of the mail's facts, questions and arenas are gone */

/* The policy for recipient `rcpt` (SIZE_MAX: none yet, connect and helo stage). */
void facts_eval(struct facts *f, size_t rcpt, const struct policy_subject *subject,
	struct arena *a, struct verdict *verdict_out);
/* The next question that nobody has asked, or NULL; *scope_out is what to answer it with. */
struct question *facts_question(struct facts *f, struct questions **scope_out);
/*
 * Before facts_helo, facts_rcpt_drop (SCOPE_RECIPIENT: the last one), facts_mail_end
 * (SCOPE_MAIL, with its recipients) and facts_free (SCOPE_SESSION: all): one question asked
 * there and not answered, for the driver to call off, until NULL.
 */
struct question *facts_call_off(struct facts *f, enum fact_scope scope);
/*
 * The mail is taken for this recipient (SIZE_MAX: for somebody, in the scope of the mail): what
 * was reserved in the scope stays taken, and where the mail goes on, not to a quarantine or
 * nowhere, what filters remember of such mails is set. Before facts_mail_end; else all is given
 * back.
 */
void facts_keep(struct facts *f, size_t rcpt, bool goes_on);
/* Asks ahead what connect-scope rules will need (DESIGN.md: at once, the greeting does not
 * wait). */
void facts_prefetch(struct facts *f);
/*
 * Reads a fact by name whether or not a rule uses it (headers, logs, other filters): as policy
 * would get it. most: the dearest question that may be asked for it.
 */
enum fact_state facts_read(struct facts *f, const char *name, struct slice arg, size_t rcpt,
	enum fact_cost most, struct value *value_out);
/* How these texts are put under the mail, or NULL: asked, and not answered yet. At its end. */
const struct append_plan *facts_append(struct facts *f, struct slice text, struct slice html);
/* What a scanner said of this mail, or NULL: nobody asked, or it has not answered. */
const struct scan_report *facts_scan(struct facts *f);
/* The same of a use that policy has; rcpt: of whom, or SIZE_MAX. */
enum fact_state facts_read_use(struct facts *f, const struct fact_ref *use, size_t rcpt,
	enum fact_cost most, struct value *value_out);
/* The state a filter keeps for this mail (its header and body hooks run for it), or NULL. */
void *facts_mail_state(struct facts *f, const struct filter *filter);
/*
 * Makes the named filter's hooks run for this mail though no rule asks (Authentication-Results,
 * or a filter in its header hook that reads another's facts). Before the first piece of the
 * body.
 */
void facts_want(struct facts *f, const char *filter_name);

#endif
