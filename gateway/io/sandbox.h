/*
 * The sandbox of a process: what it may read and write (Landlock), which system calls it may
 * make (seccomp, libseccomp), and its limits. Everything works without root. Entered once,
 * after all was opened, never left; children inherit it.
 *
 * What the kernel does not offer is reported in `missing`, in words for the log (EV_SANDBOX),
 * and the rest is entered all the same; what the kernel offers and refuses is an error. A
 * forbidden call returns EPERM (open of a path outside: EACCES), so that a library's try is an
 * error it can handle; calls that only an attacker makes kill the process.
 *
 * What may be called, by group, and what sanitizer builds need besides, stands in
 * sandbox_calls.c.
 */
#ifndef IO_SANDBOX_H
#define IO_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum sandbox_kind {
	SANDBOX_SESSION,  /* sockets in and out, its spill directory */
	SANDBOX_DELIVERY, /* sockets out, no file */
	SANDBOX_SCANNER,  /* no socket at all; reads signatures, writes its temporary directory;
			     threads */
	SANDBOX_SIGNER,   /* nothing but its channel */
	SANDBOX_AUTH,     /* nothing but its channel and one file to read again */
	SANDBOX_ENGINE,   /* libspf2, libopendkim: as SIGNER, with a larger heap */
	SANDBOX_KEEPER,   /* channels, what connects to its socket, the spool; threads */
	SANDBOX_MILTER,   /* libmilter: accepts on what listens, channels of its own; threads */
	SANDBOX_DIRECTORY, /* sockets out; reads certificates and databases */
	SANDBOX_KINDS
};

/* Groups of system calls; sandbox_kind_calls gives a kind's set. */
enum {
	SANDBOX_BASE =
		1 << 0, /* memory, time, signals, read, write, poll, epoll, futex, exit */
	SANDBOX_CHANNEL = 1 << 1, /* sendmsg, recvmsg on sockets that are there: ipc */
	SANDBOX_NETWORK =
		1
		<< 2, /* socket of INET, INET6, UNIX stream and dgram; connect, accept, bind */
	SANDBOX_READ = 1 << 3,    /* open, stat, getdents (where: Landlock) */
	SANDBOX_WRITE = 1 << 4,   /* create, write, truncate, rename, unlink, sync */
	SANDBOX_THREADS = 1 << 5, /* clone for threads */
	SANDBOX_EXEC = 1 << 6,    /* execve, fork, wait */
	SANDBOX_CODE =
		1
		<< 7, /* memory that is code: dlopen (iconv's tables), just-in-time compilers */
	SANDBOX_ACCEPT = 1 << 8, /* accept on sockets that are there, pairs of unix sockets */
};

struct sandbox_spec {
	const char *kind; /* for messages */
	unsigned calls;   /* SANDBOX_... */
	const char *const
		*readable; /* paths, ended by NULL: files, or directories with all below */
	const char *const *writable; /* likewise; implies reading; NULL: none */
	uint64_t memory_bytes; /* RLIMIT_AS, 0: none; left out under ASan, which needs terabytes
				*/
	uint64_t cpu_s;        /* RLIMIT_CPU, 0: none */
	uint64_t file_bytes;   /* RLIMIT_FSIZE, 0: none */
	unsigned nofile;       /* RLIMIT_NOFILE, 0: as it is */
};

enum { SANDBOX_MISSING_BYTES = 256 };

struct sandbox_missing {
	char text[SANDBOX_MISSING_BYTES]; /* "landlock: not in this kernel; ..." or empty */
};

/* The calls, limits and name of a kind; paths and memory are the caller's to add. */
void sandbox_spec_of(enum sandbox_kind kind, struct sandbox_spec *spec_out);
/* Paths that are not there are an error. 0, or -1 and err (the process should end). */
int sandbox_enter(
	const struct sandbox_spec *spec, struct sandbox_missing *missing_out, struct err *err);
/* The same, with what is missing told in the log (EV_SANDBOX), as every process of ours does.
 */
int sandbox_lock(const struct sandbox_spec *spec, struct err *err);
/* What this kernel offers: Landlock's ABI (0: none), seccomp. For `postern doctor` and tests.
 */
void sandbox_offers(int *landlock_abi_out, bool *seccomp_out);

#endif
