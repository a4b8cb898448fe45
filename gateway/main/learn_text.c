/*
 * What `postern learn` tells at its end: what was taught, how the model has grown, and how the
 * same mails were judged before and are judged now. Paths are the work of strangers: no control
 * character of them reaches the terminal.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "main/json.h"
#include "main/learn_priv.h"
#include "main/mail_text.h"
#include "queue/hand_words.h"

enum { HAM_LEAST = 100, RATIO_MOST = 10, WARNING_BYTES = 200 };

static const char *
kind_text(const struct learn *l)
{
	return l->teach == HAND_TEACH_SPAM ? "spam" : "ham";
}

static const char *
other_text(const struct learn *l)
{
	return l->teach == HAND_TEACH_SPAM ? "ham" : "spam";
}

static uint64_t
taught(const struct learn *l)
{
	return teacher_counts(l->teacher)->taught[l->teach];
}

/* Teaching that leads a filter astray. False: nothing to be said. */
static bool
warning_of(const struct learn *l, char text[WARNING_BYTES])
{
	const struct hand_spam_model *m = &l->totals[1];
	uint64_t ham = m->ham, spam = m->spam;
	if (ham + spam == 0 || l->teach == HAND_TEACH_UNLEARN)
		return false;
	if (ham < HAM_LEAST)
		snprintf(text, WARNING_BYTES,
			"it has learned %" PRIu64
			" ham: with less than %d it takes too much for spam",
			ham, HAM_LEAST);
	else if (ham > RATIO_MOST * spam || spam > RATIO_MOST * ham)
		snprintf(text, WARNING_BYTES,
			"it has learned more than %d %s for each %s: one-sided teaching makes "
			"a "
			"poor filter",
			RATIO_MOST, ham > spam ? "ham" : "spam", ham > spam ? "spam" : "ham");
	else
		return false;
	return true;
}

/* ---- for people ---- */

static void
tell_taught(const struct learn *l, FILE *f)
{
	const struct teacher_counts *c = teacher_counts(l->teacher);
	if (l->teach == HAND_TEACH_UNLEARN)
		fprintf(f, "taken back: %" PRIu64 " mails, %" PRIu64 " that it did not know",
			taught(l), c->unknown);
	else
		fprintf(f,
			"taught as %s: %" PRIu64 " new, %" PRIu64 " known already, %" PRIu64
			" changed from %s",
			kind_text(l), taught(l), c->known, c->changed, other_text(l));
	if (l->skipped != 0)
		fprintf(f, ", %" PRIu64 " skipped", l->skipped);
	fputc('\n', f);
	for (size_t i = 0; i < l->n_skips; i++) {
		fprintf(f, "    skipped: %" PRIu64 ": %s (", l->skips[i].mails,
			l->skips[i].why);
		mail_text_safe(f, l->skips[i].first, false);
		fputs(l->skips[i].mails > 1 ? ", ...)\n" : ")\n", f);
	}
}

static void
tell_model(const struct learn *l, FILE *f)
{
	const struct hand_spam_model *m = l->totals;
	if (l->domain.n != 0)
		fprintf(f, "the model of %.*s: ", SLICE_ARG(l->domain));
	else
		fputs("the site's model: ", f);
	fprintf(f, "%u ham, %u spam before; %u ham, %u spam now\n", m[0].ham, m[0].spam,
		m[1].ham, m[1].spam);
}

static double
percent(uint64_t part, uint64_t all)
{
	return all == 0 ? 0 : 100.0 * (double)part / (double)all;
}

static void
tell_judged(const struct learn *l, FILE *f)
{
	const struct learn_shares *a = &l->judged, *b = &l->again, *c = &l->came;
	if (l->has_judged && l->has_again && a->n != 0)
		fprintf(f,
			"of this %s judged above 0.9: %.1f %% before, %.1f %% now; above 0.99: "
			"%.1f %% before, %.1f %% now\n",
			kind_text(l), percent(a->above_90, a->n), percent(b->above_90, b->n),
			percent(a->above_99, a->n), percent(b->above_99, b->n));
	else if (l->has_judged && a->n != 0)
		fprintf(f,
			"of this %s judged above 0.9: %.1f %% before; above 0.99: %.1f %% "
			"before\n",
			kind_text(l), percent(a->above_90, a->n), percent(a->above_99, a->n));
	if (!l->has_again && c->n != 0)
		fprintf(f,
			"by its own model alone, each before it was learned: above 0.9: %.1f "
			"%%, "
			"above 0.99: %.1f %%\n",
			percent(c->above_90, c->n), percent(c->above_99, c->n));
}

static void
tell_text(const struct learn *l)
{
	FILE *f = l->tool->out;
	char warning[WARNING_BYTES];
	tell_taught(l, f);
	fprintf(f, "%" PRIu64 " mails in %" PRIu64 ".%" PRIu64 " s, %" PRIu64 " a second\n",
		l->mails, l->ms / 1000, l->ms % 1000 / 100,
		l->ms == 0 ? l->mails : l->mails * 1000 / l->ms);
	tell_model(l, f);
	tell_judged(l, f);
	if (warning_of(l, warning))
		fprintf(l->tool->err, "postern: warning: %s\n", warning);
}

/* ---- for programs ---- */

static void
json_shares(struct json *j, const char *key, const struct learn_shares *s)
{
	json_begin(j, key, '{');
	json_number(j, "mails", s->n);
	json_number(j, "above_0.9", s->above_90);
	json_number(j, "above_0.99", s->above_99);
	json_end(j, '}');
}

static void
json_totals(struct json *j, const char *key, const struct hand_spam_model *m)
{
	json_begin(j, key, '{');
	json_number(j, "ham", m->ham);
	json_number(j, "spam", m->spam);
	json_end(j, '}');
}

static void
json_skips(struct json *j, const struct learn *l)
{
	json_begin(j, "why_skipped", '[');
	for (size_t i = 0; i < l->n_skips; i++) {
		json_begin(j, NULL, '{');
		json_text(j, "why", slice_of(l->skips[i].why));
		json_number(j, "mails", l->skips[i].mails);
		json_text(j, "first", l->skips[i].first);
		json_end(j, '}');
	}
	json_end(j, ']');
}

static void
tell_json(const struct learn *l)
{
	const struct teacher_counts *c = teacher_counts(l->teacher);
	char warning[WARNING_BYTES];
	struct json j;
	json_init(&j, l->tool->out);
	json_begin(&j, NULL, '{');
	json_text(
		&j, "as", slice_of(l->teach == HAND_TEACH_UNLEARN ? "unlearn" : kind_text(l)));
	json_text(&j, "domain", l->domain);
	json_number(&j, "mails", l->mails);
	json_number(&j, "new", taught(l));
	json_number(&j, "known", c->known);
	json_number(&j, "changed", c->changed);
	json_number(&j, "unknown", c->unknown);
	json_number(&j, "skipped", l->skipped);
	json_skips(&j, l);
	json_number(&j, "ms", l->ms);
	json_totals(&j, "before", &l->totals[0]);
	json_totals(&j, "now", &l->totals[1]);
	if (l->has_judged)
		json_shares(&j, "judged_before", &l->judged);
	if (l->has_again)
		json_shares(&j, "judged_now", &l->again);
	json_shares(&j, "judged_as_they_came", &l->came);
	json_bool(&j, "stored", l->done.stored);
	json_bool(&j, "stopped", l->stopped);
	if (warning_of(l, warning))
		json_text(&j, "warning", slice_of(warning));
	json_end(&j, '}');
	json_line(&j);
}

void
learn_tell(const struct learn *l)
{
	if (l->json)
		tell_json(l);
	else
		tell_text(l);
}

/* ---- the status ---- */

static void
json_status(struct learn *l, const struct hand_spam_model *m)
{
	struct json j;
	json_init(&j, l->tool->out);
	json_begin(&j, NULL, '{');
	json_text(&j, "domain", m->domain);
	json_number(&j, "ham", m->ham);
	json_number(&j, "spam", m->spam);
	json_number(&j, "bytes", m->bytes);
	json_time(&j, "taught", m->taught_ms);
	json_bool(&j, "stored", m->stored);
	json_end(&j, '}');
	json_line(&j);
}

void
learn_tell_status(struct learn *l, const struct hand_spam_model *models, size_t n)
{
	FILE *f = l->tool->out;
	char time[HAND_TIME_BYTES];
	if (!l->json)
		fprintf(f, "%-30s %10s %10s %12s  %s\n", "MODEL", "HAM", "SPAM", "BYTES",
			"LAST TAUGHT");
	for (size_t i = 0; i < n; i++) {
		const struct hand_spam_model *m = &models[i];
		struct slice name = i == 0 ? SLICE("the site") : m->domain;
		if (l->json) {
			json_status(l, m);
			continue;
		}
		mail_text_safe(f, name, false);
		fprintf(f, "%*s %10u %10u %12" PRIu64 "  %s%s\n",
			name.n < 30 ? (int)(30 - name.n) : 0, "", m->ham, m->spam, m->bytes,
			hand_time(m->taught_ms, time),
			m->stored ? "" : ", not on disk: see event=spam-model in the log");
	}
}
