/*
 * A file that someone calls a mail or an mbox: whatever is in it, mails come in order, none is
 * longer than is read, all together are not longer than the file, and what is passed over has
 * no bytes.
 */
#include <stdint.h>
#include <stdio.h>

#include "base/must.h"
#include "main/corpus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err;
	struct corpus_mail m;
	FILE *in = tmpfile();
	must(in != NULL && fwrite(data, 1, size, in) == size);
	rewind(in);
	struct corpus *c = corpus_open("-", in, &err);
	must(c != NULL);
	size_t n = 0, bytes = 0;
	bool mbox = slice_starts((struct slice){(const char *)data, size}, SLICE("From "));
	while (corpus_next(c, &m)) {
		n++;
		bytes += m.bytes.n;
		must(m.number == (mbox ? n : 0) && m.bytes.n <= CORPUS_MAIL_MOST);
		must((m.wrong == NULL) == (m.bytes.n != 0));
	}
	must(n >= 1 && (mbox || n == 1) && bytes <= size);
	corpus_free(&c);
	must(c == NULL);
	fclose(in);
	return 0;
}
