/*
 * Folding, see fold.h: for DKIM-Signature and Authentication-Results, the two fields that we
 * write and that can grow past a line (RFC 5322 2.1.1: 78 columns wanted, 998 the end).
 */
#include "filters/fold.h"

#include "base/must.h"

void
fold_init(struct fold *f, size_t bytes_most, struct slice start)
{
	buf_init(&f->text, bytes_most);
	must(buf_add(&f->text, start) == 0);
	size_t last = slice_find_last(start, '\t');
	f->column = last < start.n ? FOLD_TAB_COLUMNS + start.n - last - 1 : start.n;
}

void
fold_fini(struct fold *f)
{
	buf_fini(&f->text);
}

void
fold_line(struct fold *f)
{
	must(buf_add(&f->text, SLICE("\r\n\t")) == 0);
	f->column = FOLD_TAB_COLUMNS;
}

void
fold_add(struct fold *f, bool blank, struct slice token)
{
	bool at_start = f->column == FOLD_TAB_COLUMNS;
	if (!at_start && f->column + blank + token.n > FOLD_COLUMNS) {
		fold_line(f);
	} else if (blank && !at_start) {
		must(buf_add_byte(&f->text, ' ') == 0);
		f->column++;
	}
	must(buf_add(&f->text, token) == 0);
	f->column += token.n;
}

void
fold_add_cut(struct fold *f, struct slice text)
{
	while (text.n > 0) {
		if (f->column >= FOLD_COLUMNS)
			fold_line(f);
		struct slice piece = slice_first(text, FOLD_COLUMNS - f->column);
		must(buf_add(&f->text, piece) == 0);
		f->column += piece.n;
		text = slice_from(text, piece.n);
	}
}
