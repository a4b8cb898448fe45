/*
 * A text under whatever a stranger can make of a mail: a plan of splices that ascend and stay
 * inside of it, or words why not.
 */
#include <stdint.h>

#include "base/must.h"
#include "engine/append.h"
#include "engine/look.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MOST = 512 * 1024 * 1024 };

static void
check(const struct append_plan *p, uint64_t bytes)
{
	uint64_t end = 0;
	if (p->status != APPEND_DONE) {
		must(p->status == APPEND_NOT && p->why.n != 0 && p->n == 0);
		return;
	}
	must(p->n != 0 && p->n <= APPEND_SPLICES_MOST);
	for (size_t i = 0; i < p->n; i++) {
		must(p->splices[i].at <= bytes &&
			p->splices[i].cut <= bytes - p->splices[i].at);
		must(i == 0 || p->splices[i].at > end);
		end = p->splices[i].at + p->splices[i].cut;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct append_plan p;
	if (size < 1 || size > 1024 * 1024)
		return 0;
	look_init();
	struct arena *a = arena_new(ARENA_MOST);
	struct slice mail = {(const char *)data + 1, size - 1};
	struct slice text =
		data[0] % 2 == 0 ? SLICE("-- \nplain\n") : SLICE("F\303\274r Sie\n");
	append_make(mail, text, SLICE("<p>F\303\274r</p>\n"), a, &p);
	check(&p, mail.n);
	arena_free(&a);
	return 0;
}
