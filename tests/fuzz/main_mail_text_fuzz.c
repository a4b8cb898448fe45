/*
 * A mail of a stranger as text for an administrator's terminal: whatever it holds, what is
 * printed is UTF-8 without a control but line ends and tabs, and not much longer than the mail.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "main/mail_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	must(f != NULL);
	mail_text(f, (struct slice){(const char *)data, size});
	must(fclose(f) == 0);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		must(c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f));
		/* C1, which a terminal may obey as well, is U+0080 to U+009F. */
		must(c != 0xc2 || (i + 1 < n && (unsigned char)text[i + 1] >= 0xa0));
	}
	free(text);
	return 0;
}
