/* DNS from a file, as answers.h describes it. */
#ifndef MAIN_ANSWERS_FILE_H
#define MAIN_ANSWERS_FILE_H

#include "base/arena.h"
#include "base/dns.h"
#include "base/err.h"
#include "base/map.h"

struct dns_file {
	struct map *records; /* "TYPE name" to struct dns_answer */
	struct map *names;   /* every name that is there */
	struct map *failing;
};

int
dns_file_read(const char *path, struct arena *a, struct dns_file *file_out, struct err *err);
/* Never NULL; lives as long as the file's arena. */
const struct dns_answer *
dns_file_look_up(const struct dns_file *f, struct slice name, enum dns_type type);

#endif
