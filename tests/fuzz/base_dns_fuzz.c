/* An answer of a hostile name server: the first byte chooses the type, the rest is the packet.
 */
#include "base/dns.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = {
		DNS_A, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};
	struct dns_answer answer;
	if (size == 0)
		return 0;
	enum dns_type type = types[data[0] % (sizeof(types) / sizeof(types[0]))];
	struct arena *a = arena_new(DNS_ARENA_BYTES);
	dns_decode((struct slice){(const char *)data + 1, size - 1}, SLICE("www.example"), type,
		a, &answer);
	must((answer.status == DNS_OK) == (answer.n != 0) && answer.n <= DNS_RR_MOST);
	for (size_t i = 0; i < answer.n; i++) {
		bool named = type == DNS_PTR || type == DNS_MX || type == DNS_CNAME;
		must(!named || answer.rr[i].text.n == 0 || dns_name_ok(answer.rr[i].text));
	}
	arena_free(&a);
	return 0;
}
