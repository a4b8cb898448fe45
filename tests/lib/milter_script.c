/*
 * Dialogues of an MTA by the milter protocol, written as lines of text, for tests of what reads
 * them; see milter_script.h.
 */
#include "milter_script.h"

#include <stdio.h>

#include "base/must.h"

void
milter_script_packet(struct buf *out, char command, struct slice data)
{
	uint32_t n = (uint32_t)data.n + 1;
	char start[5] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n, command};
	must(buf_add(out, (struct slice){start, 5}) == 0 && buf_add(out, data) == 0);
}

static void
add_u32(struct buf *out, unsigned long v)
{
	char bytes[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
	must(buf_add(out, (struct slice){bytes, 4}) == 0);
}

static void
add_offer(struct buf *out, struct slice numbers)
{
	unsigned long v[3];
	char text[64], data[12];
	struct buf b;
	snprintf(text, sizeof(text), "%.*s", SLICE_ARG(numbers));
	must(sscanf(text, "%lx %lx %lx", &v[0], &v[1], &v[2]) == 3);
	buf_init(&b, sizeof(data));
	for (size_t i = 0; i < 3; i++)
		add_u32(&b, v[i]);
	milter_script_packet(out, 'O', buf_slice(&b));
	buf_fini(&b);
}

void
milter_script_add(struct buf *out, const char *script)
{
	struct slice rest = slice_of(script), line;
	while (rest.n > 0) {
		slice_cut(rest, '\n', &line, &rest);
		struct slice data = slice_from(line, 1);
		if (line.p[0] == 'O') {
			add_offer(out, data);
			continue;
		}
		struct buf b;
		buf_init(&b, 4096);
		for (size_t i = 0; i < data.n; i++)
			must(buf_add_byte(&b, data.p[i] == '~'   ? '\0'
					      : data.p[i] == '|' ? '\n'
								 : data.p[i]) == 0);
		milter_script_packet(out, line.p[0], buf_slice(&b));
		buf_fini(&b);
	}
}
