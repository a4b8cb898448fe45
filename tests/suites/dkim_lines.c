/* Commands on the standard input; see dkim_lines.h. */
#include "dkim_lines.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void
read_zone(struct lines *l)
{
	free(l->zone_bytes);
	l->zone_bytes = l->bytes;
	l->bytes = NULL;
	l->n_zone = 0;
	for (char *rest = l->zone_bytes, *line; (line = strsep(&rest, "\n")) != NULL;) {
		char *name = strsep(&line, " ");
		if (line == NULL)
			continue;
		if (l->n_zone == sizeof(l->zone) / sizeof(l->zone[0]))
			errx(2, "the zone is too large");
		l->zone[l->n_zone].name = name;
		l->zone[l->n_zone++].text = line;
	}
}

static void
read_bytes(struct lines *l)
{
	l->bytes_n = l->n > 0 ? strtoul(l->word[l->n - 1], NULL, 10) : 0;
	free(l->bytes);
	l->bytes = malloc(l->bytes_n + 1);
	if (l->bytes == NULL || fread(l->bytes, 1, l->bytes_n, stdin) != l->bytes_n)
		errx(2, "the bytes of \"%s\" are not there", l->n > 0 ? l->word[0] : "");
	l->bytes[l->bytes_n] = '\0';
}

int
lines_next(struct lines *l)
{
	for (;;) {
		if (fgets(l->line, sizeof(l->line), stdin) == NULL)
			return 0;
		l->n = 0;
		char *rest = l->line;
		l->line[strcspn(l->line, "\n")] = '\0';
		for (char *word;
			(word = strsep(&rest, " ")) != NULL && l->n < LINES_WORDS_MOST;)
			l->word[l->n++] = word;
		read_bytes(l);
		if (strcmp(l->word[0], "zone") != 0)
			return 1;
		read_zone(l);
	}
}

const char *
lines_zone(const struct lines *l, const char *name, size_t name_n)
{
	for (size_t i = 0; i < l->n_zone; i++) {
		if (strlen(l->zone[i].name) == name_n &&
			strncasecmp(l->zone[i].name, name, name_n) == 0)
			return l->zone[i].text;
	}
	return NULL;
}

void
lines_fini(struct lines *l)
{
	free(l->bytes);
	free(l->zone_bytes);
}
