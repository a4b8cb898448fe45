/*
 * Removes a folder of a test; see tree.h. What is below a folder goes before it; links are
 * removed and not followed.
 */
#include "tree.h"

#include <ftw.h>
#include <stdio.h>

enum { FOLDERS_OPEN = 16 };

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

int
tree_remove(const char *path)
{
	return nftw(path, remove_one, FOLDERS_OPEN, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : -1;
}
