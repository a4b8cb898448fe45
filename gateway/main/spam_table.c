/*
 * What `postern spam test` prints; see spam_table.h. Calibration is told for the first day and
 * for the later half of the online stream: the earlier half is a model that still learns.
 */
#include "main/spam_table.h"

#include <string.h>

#include "base/mem.h"
#include "main/json.h"
#include "main/mail_text.h"

enum { NAME_COLUMN = 16, CELL_BYTES = 32 };

/* The measures of a mode; those of the later half of it. */
static struct roc
measure(const struct trial_result *r, size_t from)
{
	struct roc roc;
	size_t n = r->n - from;
	struct roc_row *rows = mem_array(n + 1, sizeof(*rows));
	if (n != 0)
		memcpy(rows, r->rows + from, n * sizeof(*rows));
	roc_of(rows, n, &roc);
	mem_free(rows);
	return roc;
}

/* Its calibration is told, from that row on. */
static bool
is_calibrated(enum trial_mode mode, const struct trial_result *r, size_t *from_out)
{
	*from_out = mode == TRIAL_ONLINE ? r->n / 2 : 0;
	return mode == TRIAL_DAY_ONE || mode == TRIAL_ONLINE || mode == TRIAL_SITE ||
	       mode == TRIAL_SPLIT || mode == TRIAL_FOLDERS;
}

/* ---- for people ---- */

static void
cell(FILE *f, int width, double value, int digits)
{
	if (value < 0)
		fprintf(f, " %*s", width, "-");
	else
		fprintf(f, " %*.*f", width, digits, 100 * value);
}

static const char *
rate(double value, size_t n, char out[CELL_BYTES])
{
	if (value < 0)
		snprintf(out, CELL_BYTES, "-");
	else if (value == 0)
		snprintf(out, CELL_BYTES, "<%.2f", 100 * roc_bound_of_none(n));
	else
		snprintf(out, CELL_BYTES, "%.2f", 100 * value);
	return out;
}

static void
print_row(FILE *f, enum trial_mode mode, const struct roc *r)
{
	char over[CELL_BYTES], under[CELL_BYTES];
	fprintf(f, "%-*s %6zu %6zu", NAME_COLUMN, trial_mode_text(mode), r->ham, r->spam);
	cell(f, 9, r->above, 4);
	for (size_t i = 0; i < 2; i++)
		cell(f, 7, r->caught[i], 2);
	for (size_t i = 0; i < 2; i++)
		cell(f, 7, r->lost[i], 2);
	for (size_t i = 0; i < ROC_LEVELS; i++)
		fprintf(f, "  %6s/%-6s", rate(r->ham_over[i], r->ham, over),
			rate(r->spam_under[i], r->spam, under));
	fputc('\n', f);
}

static void
print_bins(FILE *f, enum trial_mode mode, const struct trial_result *r)
{
	size_t from;
	if (!is_calibrated(mode, r, &from))
		return;
	struct roc roc = measure(r, from);
	fprintf(f, "\ncalibration, %s%s\n%11s %7s %9s %7s\n", trial_mode_text(mode),
		from != 0 ? ", later half" : "", "range", "mails", "expected", "spam %");
	for (unsigned i = 0; i < ROC_BINS; i++) {
		const struct roc_bin *b = &roc.bins[i];
		fprintf(f, "  %.1f to %.1f %7zu", i / (double)ROC_BINS,
			(i + 1) / (double)ROC_BINS, b->n);
		cell(f, 9, b->expected, 1);
		cell(f, 7, b->seen, 1);
		fputc('\n', f);
	}
}

static void
print_worst(FILE *f, enum trial_mode mode, const struct trial_result *r)
{
	for (size_t kind = 0; kind < 2; kind++) {
		if (r->n_worst[kind] != 0)
			fprintf(f, "\n%s: %s with the %s sums\n", trial_mode_text(mode),
				kind == 0 ? "ham" : "spam", kind == 0 ? "highest" : "lowest");
		for (size_t i = 0; i < r->n_worst[kind]; i++) {
			mail_text_safe(f, slice_of(r->worst[kind][i].line), false);
			fputc('\n', f);
		}
	}
}

void
spam_table(FILE *f, const struct trial_wanted *w, const struct trial *t)
{
	fprintf(f,
		"%zu mails, %zu passed over, %zu without a date; %.1f s, %.0f mails/s; %.1f s "
		"of "
		"CPU\n",
		t->mails, t->passed_over, t->undated, t->seconds,
		t->seconds > 0 ? (double)t->mails / t->seconds : 0, t->cpu_seconds);
	fprintf(f,
		"bounces: %zu ham, %zu spam; the shipped model had a say in %zu of their "
		"judgements; day one\n    has %zu, %zu, %zu of the ham above 0.5, 0.9, 0.99\n",
		t->bounces[0], t->bounces[1], t->bounces_shipped, t->bounces_over[0],
		t->bounces_over[1], t->bounces_over[2]);
	fprintf(f,
		"\n%*s %9s %15s %15s  %13s  %13s  %13s\n%-*s %6s %6s %9s %7s %7s %7s %7s  "
		"%13s  %13s  %13s\n",
		NAME_COLUMN + 14, "", "1-ROCAC", "spam caught if", "ham lost if", "",
		"wrong, ham/spam", "", NAME_COLUMN, "%", "ham", "spam", "", "-.1ham", "-1ham",
		"-.1spam", "-1spam", "at 0.5   ", "at 0.9   ", "at 0.99  ");
	for (int mode = 0; mode < TRIAL_MODES; mode++) {
		if (!w->modes[mode])
			continue;
		struct roc roc = measure(&t->results[mode], 0);
		print_row(f, (enum trial_mode)mode, &roc);
	}
	for (int mode = 0; mode < TRIAL_MODES; mode++)
		if (w->modes[mode])
			print_bins(f, (enum trial_mode)mode, &t->results[mode]);
	for (int mode = 0; mode < TRIAL_MODES; mode++)
		print_worst(f, (enum trial_mode)mode, &t->results[mode]);
}

/* ---- for programs: parts of 1 ---- */

/* What is no part of anything is null. */
static void
part(struct json *j, const char *key, double value)
{
	if (value < 0)
		json_null(j, key);
	else
		json_real(j, key, value);
}

static void
write_levels(struct json *j, const struct roc *r)
{
	json_begin(j, "levels", '[');
	for (size_t i = 0; i < ROC_LEVELS; i++) {
		json_begin(j, NULL, '{');
		json_real(j, "level", roc_levels[i]);
		part(j, "ham_over", r->ham_over[i]);
		part(j, "spam_under", r->spam_under[i]);
		if (r->ham_over[i] == 0)
			json_real(j, "ham_over_below", roc_bound_of_none(r->ham));
		if (r->spam_under[i] == 0)
			json_real(j, "spam_under_below", roc_bound_of_none(r->spam));
		json_end(j, '}');
	}
	json_end(j, ']');
}

static void
write_bins(struct json *j, enum trial_mode mode, const struct trial_result *r)
{
	size_t from;
	if (!is_calibrated(mode, r, &from))
		return;
	struct roc roc = measure(r, from);
	json_begin(j, "calibration", '[');
	for (size_t i = 0; i < ROC_BINS; i++) {
		json_begin(j, NULL, '{');
		json_number(j, "mails", roc.bins[i].n);
		part(j, "expected", roc.bins[i].expected);
		part(j, "spam", roc.bins[i].seen);
		json_end(j, '}');
	}
	json_end(j, ']');
}

static void
write_worst(struct json *j, const struct trial_result *r, unsigned kind)
{
	json_begin(j, kind == 0 ? "worst_ham" : "worst_spam", '[');
	for (size_t i = 0; i < r->n_worst[kind]; i++)
		json_text(j, NULL, slice_of(r->worst[kind][i].line));
	json_end(j, ']');
}

static void
write_mode(struct json *j, enum trial_mode mode, const struct trial_result *r)
{
	struct roc roc = measure(r, 0);
	json_begin(j, NULL, '{');
	json_text(j, "mode", slice_of(trial_mode_text(mode)));
	json_number(j, "ham", roc.ham);
	json_number(j, "spam", roc.spam);
	part(j, "above", roc.above);
	part(j, "caught_0.1", roc.caught[0]);
	part(j, "caught_1", roc.caught[1]);
	part(j, "lost_0.1", roc.lost[0]);
	part(j, "lost_1", roc.lost[1]);
	write_levels(j, &roc);
	write_bins(j, mode, r);
	write_worst(j, r, 0);
	write_worst(j, r, 1);
	json_end(j, '}');
}

void
spam_table_json(FILE *f, const struct trial_wanted *w, const struct trial *t)
{
	struct json j;
	json_init(&j, f);
	json_begin(&j, NULL, '{');
	json_number(&j, "mails", t->mails);
	json_number(&j, "passed_over", t->passed_over);
	json_number(&j, "undated", t->undated);
	json_real(&j, "seconds", t->seconds);
	json_real(&j, "cpu_seconds", t->cpu_seconds);
	json_number(&j, "bounces_ham", t->bounces[0]);
	json_number(&j, "bounces_spam", t->bounces[1]);
	json_number(&j, "bounces_by_shipped", t->bounces_shipped);
	json_begin(&j, "modes", '[');
	for (int mode = 0; mode < TRIAL_MODES; mode++)
		if (w->modes[mode])
			write_mode(&j, (enum trial_mode)mode, &t->results[mode]);
	json_end(&j, ']');
	json_end(&j, '}');
	json_line(&j);
}
