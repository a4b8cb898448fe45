/*
 * Entering the sandbox: limits, then Landlock, then seccomp (which would forbid the calls of
 * the others). What each kind of process may do is one table here.
 */
#include "io/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/must.h"
#include "io/sandbox_priv.h"

static const struct {
	const char *name;
	unsigned calls;
} kinds[SANDBOX_KINDS] = {
	[SANDBOX_SESSION] = {"session", SANDBOX_BASE | SANDBOX_CHANNEL | SANDBOX_NETWORK |
						SANDBOX_READ | SANDBOX_WRITE},
	[SANDBOX_DELIVERY] = {"delivery", SANDBOX_BASE | SANDBOX_CHANNEL | SANDBOX_NETWORK},
	[SANDBOX_SCANNER] = {"scanner", SANDBOX_BASE | SANDBOX_CHANNEL | SANDBOX_READ |
						SANDBOX_WRITE | SANDBOX_THREADS | SANDBOX_CODE},
	[SANDBOX_SIGNER] = {"signer", SANDBOX_BASE | SANDBOX_CHANNEL},
	[SANDBOX_KEEPER] = {"keeper", SANDBOX_BASE | SANDBOX_CHANNEL | SANDBOX_ACCEPT |
					      SANDBOX_READ | SANDBOX_WRITE | SANDBOX_THREADS},
	[SANDBOX_AUTH] = {"auth", SANDBOX_BASE | SANDBOX_CHANNEL | SANDBOX_READ},
	[SANDBOX_ENGINE] = {"engine", SANDBOX_BASE | SANDBOX_CHANNEL},
	[SANDBOX_MILTER] = {"milter",
		SANDBOX_BASE | SANDBOX_CHANNEL | SANDBOX_ACCEPT | SANDBOX_THREADS},
	[SANDBOX_DIRECTORY] = {"directory",
		SANDBOX_BASE | SANDBOX_CHANNEL | SANDBOX_NETWORK | SANDBOX_READ},
};

void
sandbox_spec_of(enum sandbox_kind kind, struct sandbox_spec *spec_out)
{
	must(kind < SANDBOX_KINDS);
	*spec_out = (struct sandbox_spec){.kind = kinds[kind].name, .calls = kinds[kind].calls};
}

void
sandbox_lacks(struct sandbox_missing *missing, const char *what)
{
	size_t used = strlen(missing->text);
	snprintf(missing->text + used, sizeof(missing->text) - used, "%s%s",
		used != 0 ? "; " : "", what);
}

static int
sandbox_limit(int resource, const char *name, uint64_t value, struct err *err)
{
	struct rlimit now;
	if (value == 0)
		return 0;
	if (getrlimit((__rlimit_resource_t)resource, &now) < 0)
		return err_sys(err, "sandbox: read limit %s", name);
	rlim_t most = value < now.rlim_max ? (rlim_t)value : now.rlim_max;
	struct rlimit limit = {.rlim_cur = most, .rlim_max = most};
	if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return err_sys(err, "sandbox: set limit %s", name);
	return 0;
}

static int
sandbox_limits(const struct sandbox_spec *spec, struct err *err)
{
	uint64_t memory = SANDBOX_SANITIZED != 0 ? 0 : spec->memory_bytes;
	if (sandbox_limit(RLIMIT_AS, "AS", memory, err) < 0 ||
		sandbox_limit(RLIMIT_CPU, "CPU", spec->cpu_s, err) < 0 ||
		sandbox_limit(RLIMIT_FSIZE, "FSIZE", spec->file_bytes, err) < 0)
		return -1;
	return sandbox_limit(RLIMIT_NOFILE, "NOFILE", spec->nofile, err);
}

static int
sandbox_calls_enter(
	const struct sandbox_spec *spec, struct sandbox_missing *missing, struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	must(ctx != NULL);
	/* A tree instead of a list; and no slower memory, which protects only against our own
	 * code. */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_SSB, 1);
	int result = sandbox_calls_add(ctx, spec->calls);
	if (result == 0)
		result = seccomp_load(ctx);
	seccomp_release(ctx);
	if (result == -ENOSYS || result == -EOPNOTSUPP) {
		sandbox_lacks(missing,
			"seccomp is not in this kernel: system calls are not confined");
		return 0;
	}
	if (result < 0) {
		errno = -result;
		return err_sys(err, "sandbox: %s: system calls", spec->kind);
	}
	return 0;
}

int
sandbox_enter(
	const struct sandbox_spec *spec, struct sandbox_missing *missing_out, struct err *err)
{
	*missing_out = (struct sandbox_missing){.text = ""};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, "sandbox: give up new privileges");
	if (sandbox_limits(spec, err) < 0 || sandbox_paths_enter(spec, missing_out, err) < 0)
		return -1;
	return sandbox_calls_enter(spec, missing_out, err);
}

int
sandbox_lock(const struct sandbox_spec *spec, struct err *err)
{
	struct sandbox_missing missing;
	struct log_line l;
	if (sandbox_enter(spec, &missing, err) < 0)
		return -1;
	if (missing.text[0] != '\0') {
		log_begin(&l, EV_SANDBOX, NULL);
		log_text(&l, "kind", spec->kind);
		log_text(&l, "missing", missing.text);
		log_end(&l);
	}
	return 0;
}

void
sandbox_offers(int *landlock_abi_out, bool *seccomp_out)
{
	*landlock_abi_out = sandbox_paths_abi();
	*seccomp_out = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}
