/*
 * The signer: the only process that holds the private keys of DKIM. It gets the number of a key
 * and a 32-byte digest, never a mail, and gives the signature back; all signatures of a mail in
 * one message. It opens no file and no socket.
 */
#ifndef DELIVERY_SIGNER_H
#define DELIVERY_SIGNER_H

#include "base/arena.h"
#include "filters/dkim_key.h"
#include "io/ipc.h"

enum { SIGNER_MSG_SIGN = 0x0e01, SIGNER_MSG_SIGNED, SIGNER_MSG_FAILED };
enum { SIGNER_BATCH_MOST = 16, SIGNER_KEYS_MOST = 4096 };

struct signer_job {
	uint32_t key; /* its place among `sign` of the configuration */
	unsigned char digest[DKIM_DIGEST_BYTES];
};

void signer_jobs_pack(const struct signer_job *jobs, size_t n, struct ipc_out *out);
bool signer_jobs_unpack(
	struct slice payload, struct signer_job jobs_out[SIGNER_BATCH_MOST], size_t *n_out);
/* In the order of the jobs. */
void signer_signatures_pack(const struct slice *signatures, size_t n, struct ipc_out *out);
bool signer_signatures_unpack(
	struct slice payload, struct arena *a, struct slice *signatures_out, size_t n);

struct signer_start {
	const struct slice *pems; /* by the number of the key */
	size_t n;
	int control_fd;
};

/* Runs in the child: the exit status. arg is a struct signer_start. */
int signer_main(void *arg);

#endif
