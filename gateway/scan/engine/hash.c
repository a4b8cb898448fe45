/*
 * SHA-256 for attachment.sha256; see hash.h. The algorithm is fetched before the workers are
 * forked, so that none of them has to look for a provider behind its sandbox.
 */
#include "engine/hash.h"

#include <openssl/evp.h>

#include "base/must.h"

static EVP_MD *sha256;

void
hash_init(void)
{
	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	must(sha256 != NULL);
}

void
hash_sha256(struct slice bytes, uint8_t out[32])
{
	unsigned n = 0;
	must(sha256 != NULL);
	must(EVP_Digest(bytes.n != 0 ? bytes.p : "", bytes.n, out, &n, sha256, NULL) == 1 &&
		n == 32);
}
