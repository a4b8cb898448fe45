/*
 * Replies of a neighbour that is hostile or broken; the first byte says which it is to be. Fed
 * whole, byte by byte and in two pieces they are read alike, and what is right has a score
 * within bounds and an action that is a word.
 */
#include <math.h>
#include <string.h>

#include "base/must.h"
#include "filters/neighbour.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum neighbour_state
read_reply(struct neighbour_reply *r, enum neighbour which, struct slice in, size_t piece)
{
	neighbour_reply_init(r, which);
	while (in.n != 0) {
		struct slice one = slice_first(in, piece);
		(void)neighbour_reply_feed(r, one);
		in = slice_from(in, one.n);
	}
	return neighbour_reply_end(r);
}

static void
check(const struct neighbour_reply *r)
{
	struct neighbour_verdict v = neighbour_reply_verdict(r);
	must(isfinite(v.score) && isfinite(v.required));
	must(r->which == NEIGHBOUR_SPAMD || v.action.n != 0);
	for (size_t i = 0; i < v.action.n; i++)
		must(v.action.p[i] >= ' ' && v.action.p[i] <= '~');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	enum neighbour which = data[0] == 's' ? NEIGHBOUR_SPAMD : NEIGHBOUR_RSPAMD;
	struct slice in = {(const char *)data + 1, size - 1};
	struct neighbour_reply whole, bytes, halves;
	enum neighbour_state state = read_reply(&whole, which, in, SIZE_MAX);
	must(state == read_reply(&bytes, which, in, 1));
	must(state == read_reply(&halves, which, in, in.n / 2 + 1));
	must(state != NEIGHBOUR_MORE);
	if (state == NEIGHBOUR_DONE) {
		struct neighbour_verdict a = neighbour_reply_verdict(&whole),
					 b = neighbour_reply_verdict(&bytes);
		check(&whole);
		must(a.score == b.score && a.required == b.required &&
			slice_eq(a.action, b.action));
	} else {
		must(strcmp(neighbour_reply_why(&whole), neighbour_reply_why(&bytes)) == 0);
		must(strlen(neighbour_reply_why(&whole)) > 0);
	}
	return 0;
}
