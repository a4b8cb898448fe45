/*
 * What is wrong with a configuration, collected by whoever checks a part of it and printed
 * once, in the order of the files. The report outlives a snapshot that was never made, so it
 * keeps the names of files itself.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/conf.h"

enum { PROBLEMS_MOST = 100 };

void
conf_report_init(struct conf_report *r)
{
	*r = (struct conf_report){0};
}

void
conf_report_fini(struct conf_report *r)
{
	for (size_t i = 0; i < r->n_files; i++)
		mem_free(r->files[i]);
	mem_free(r->files);
	mem_free(r->problems);
	conf_report_init(r);
}

static const char *
keep_name(struct conf_report *r, const char *name)
{
	if (name == NULL)
		name = "";
	for (size_t i = 0; i < r->n_files; i++)
		if (strcmp(r->files[i], name) == 0)
			return r->files[i];
	r->files = mem_resize(r->files, (r->n_files + 1) * sizeof(*r->files));
	r->files[r->n_files] = mem_text(name);
	return r->files[r->n_files++];
}

__attribute__((format(printf, 4, 0))) static void
add(struct conf_report *r, struct conf_at at, bool warning, const char *fmt, va_list ap)
{
	if (!warning)
		r->n_errors++;
	if (r->n == PROBLEMS_MOST)
		return;
	if (r->problems == NULL)
		r->problems = mem_array(PROBLEMS_MOST, sizeof(*r->problems));
	struct conf_problem *p = &r->problems[r->n++];
	p->at = at;
	p->at.file = keep_name(r, at.file);
	p->warning = warning;
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
}

void
conf_error(struct conf_report *r, struct conf_at at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add(r, at, false, fmt, ap);
	va_end(ap);
}

void
conf_warn(struct conf_report *r, struct conf_at at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add(r, at, true, fmt, ap);
	va_end(ap);
}

static size_t
file_number(const struct conf_report *r, const struct conf_problem *p)
{
	size_t i = 0;
	while (i < r->n_files && r->files[i] != p->at.file)
		i++;
	return i;
}

static bool
stands_before(
	const struct conf_report *r, const struct conf_problem *a, const struct conf_problem *b)
{
	size_t file_a = file_number(r, a), file_b = file_number(r, b);
	if (file_a != file_b)
		return file_a < file_b;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line;
	return a->at.column < b->at.column;
}

static void
add_line(struct buf *out, const struct conf_problem *p)
{
	if (p->at.file[0] != '\0')
		buf_printf(out, "%s:", p->at.file);
	if (p->at.line != 0)
		buf_printf(out, "%u:%u:", p->at.line, p->at.column);
	buf_printf(out, "%s%s: %s\n", out->used != 0 && p->at.file[0] != '\0' ? " " : "",
		p->warning ? "warning" : "error", p->text);
}

struct slice
conf_report_text(const struct conf_report *r, struct arena *a)
{
	struct buf out;
	size_t order[PROBLEMS_MOST];
	buf_init(&out, PROBLEMS_MOST * (sizeof(r->problems->text) + 8192));
	for (size_t i = 0; i < r->n; i++) {
		size_t at = i;
		for (; at > 0 && stands_before(r, &r->problems[i], &r->problems[order[at - 1]]);
			at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	for (size_t i = 0; i < r->n; i++)
		add_line(&out, &r->problems[order[i]]);
	size_t shown = 0;
	for (size_t i = 0; i < r->n; i++)
		shown += !r->problems[i].warning;
	if (shown < r->n_errors)
		buf_printf(&out, "%zu more errors are not shown\n", r->n_errors - shown);
	struct slice text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}
