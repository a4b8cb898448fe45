/*
 * The header parser over stdin and stdout, for test_from.py: a line is a header block in hex;
 * the answer is the reply's code (0: taken) and the domains of From, between tabs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/must.h"
#include "filters/message.h"

enum { ARENA_MOST = 64 * 1024 * 1024 };

static void
answer(struct slice hex)
{
	struct arena *a = arena_new(ARENA_MOST);
	char *bytes = arena_alloc(a, hex.n / 2 + 1);
	for (size_t i = 0; i + 1 < hex.n; i += 2) {
		must(ascii_hex(hex.p[i]) >= 0 && ascii_hex(hex.p[i + 1]) >= 0);
		bytes[i / 2] = (char)(ascii_hex(hex.p[i]) << 4 | ascii_hex(hex.p[i + 1]));
	}
	struct message m;
	message_parse((struct slice){bytes, hex.n / 2}, SLICE("mx.example"), false, a, &m);
	printf("%d", message_refusal(&m, false, 50, a).code);
	for (size_t i = 0; i < m.n_from; i++)
		printf("\t%.*s", SLICE_ARG(m.from[i].domain));
	putchar('\n');
	fflush(stdout);
	arena_free(&a);
}

int
main(void)
{
	char *line = NULL;
	size_t room = 0;
	for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;)
		answer(slice_trim((struct slice){line, (size_t)n}));
	free(line);
	return 0;
}
