/* A header, parsed as inbound mail (first byte even) or as SMTPUTF8 (odd). */
#include <stdint.h>

#include "base/must.h"
#include "filters/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > 256 * 1024)
		return 0;
	struct arena *a = arena_new(64 * 1024 * 1024);
	struct slice in = {(const char *)data + 1, size - 1};
	struct message m;
	message_parse(in, SLICE("mx.example"), data[0] & 1, a, &m);
	must(m.header_bytes <= in.n);
	must((m.n_from == 0) == (m.from == NULL) || m.n_from == 0);
	must(m.from_domain.n == 0 || m.n_from != 0);
	for (size_t i = 0; i < m.n_fields; i++)
		must(m.fields[i].raw.p >= in.p &&
			m.fields[i].raw.p + m.fields[i].raw.n <= in.p + in.n);
	const struct message_field *from = message_field(&m, SLICE("From"), 0);
	struct slice *names;
	struct address *list;
	size_t n_names, n;
	if (from != NULL && message_names(from->value, data[0] & 1, a, &names, &n_names))
		must(message_addresses(from->value, data[0] & 1, a, &list, &n));
	(void)message_refusal(&m, false, 50, a);
	arena_free(&a);
	return 0;
}
