/*
 * The process that checks passwords: the only one that reads the users' files (conf/passwd.h).
 * A yescrypt hash costs some 15 ms, so it is not the session that computes it; what may wait is
 * bounded by the asker. Mechanisms: PLAIN, LOGIN, SCRAM-SHA-256, by GNU SASL. The files are
 * read once, before the sandbox; when they change, the parent starts a new generation.
 *
 *   session -> AUTH_MSG_STEP, AUTH_MSG_DROP (no answer)     <- AUTH_MSG_RESULT
 */
#ifndef SESSION_AUTHENTICATOR_H
#define SESSION_AUTHENTICATOR_H

#include "conf/conf.h"
#include "io/ipc.h"

enum { AUTH_MSG_STEP = 0x0f01, AUTH_MSG_DROP, AUTH_MSG_RESULT };
enum {
	AUTH_DATA_MOST = 12288,
	AUTH_OPEN_MOST = 64 /* steps that a session process may have open */
};

struct auth_step {
	uint64_t conversation; /* the session's own number for this exchange */
	unsigned listener;     /* of the configuration: which file */
	bool first;
	struct slice mechanism;
	bool has_data;
	struct slice data; /* base64 */
};

enum auth_outcome { AUTH_CHALLENGE, AUTH_OK, AUTH_REFUSED, AUTH_BROKEN };

struct auth_result {
	enum auth_outcome outcome;
	struct slice text; /* CHALLENGE: base64; OK, REFUSED: the name as far as known */
};

void auth_step_pack(const struct auth_step *s, struct ipc_out *out);
bool auth_step_unpack(struct slice payload, struct auth_step *s_out);
void auth_result_pack(const struct auth_result *r, struct ipc_out *out);
bool auth_result_unpack(struct slice payload, struct auth_result *r_out);

struct authenticator;

/* Reads the files of all listeners, while the rights to do so are there. NULL: err names the
 * file. */
struct authenticator *authenticator_new(const struct conf *conf, struct err *err);
/* Serves until told to stop; frees. The exit status. */
int authenticator_main(struct authenticator *a, int control_fd);

#endif
