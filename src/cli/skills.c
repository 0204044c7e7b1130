/* cli/skills.c: `tug skills`: teaches coding agents how to use the models here, by a file in each one's folder of
 * skills. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/skill_text.h"
#include "platform/file.h"

#include <stdio.h>
#include <string.h>

#define SKILL_NAME "docker-model-runner"

static const struct skill_tool {
    const char *flag, *folder; /* below the home folder */
} skill_tools[] = {{"claude", ".claude/skills"}, {"codex", ".codex/skills"}, {"opencode", ".config/opencode/skills"}};

static bool skill_same(const char *path)
{
    _cleanup_(buf_done) struct buf old = BUF_INIT(64 * 1024);
    return file_read_all(path, old.max, &old, NULL) && old.len == skill_text_bytes &&
           memcmp(old.data, skill_text, old.len) == 0;
}

/* A file that somebody changed is theirs. */
static bool skill_install(const char *folder, bool force, struct err *err)
{
    char dir[4096], path[4200];
    if (!text_format(dir, sizeof dir, "%s/" SKILL_NAME, folder))
        return err_set(err, ERR_INVALID, "the folder %.200s... has too long a name", folder);
    text_format(path, sizeof path, "%s/SKILL.md", dir);
    if (!force && file_stat(path).kind != FILE_KIND_NONE && !skill_same(path))
        return err_set(err, ERR_CONFLICT, "%s is there already and differs; --force replaces it", path);
    if (!file_mkdirs(dir, 0755, err) || !file_write_atomic(path, skill_text, skill_text_bytes, 0644, err))
        return false;
    printf("Installed Docker Model Runner skills to %s\n", folder);
    return true;
}

static bool skills_run(struct command_args *args, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    const struct flag_value *dest = command_flag(args, "dest");
    bool force = command_flag(args, "force")->b, any = dest->set;
    char folder[4096];
    if (dest->set && !skill_install(dest->s, force, err))
        return false;
    for (size_t i = 0; i < sizeof skill_tools / sizeof skill_tools[0]; i++) {
        if (!command_flag(args, skill_tools[i].flag)->b)
            continue;
        _cleanup_free_ char *home = file_home_dir();
        any = true;
        if (home == NULL || !text_format(folder, sizeof folder, "%s/%s", home, skill_tools[i].folder))
            return err_set(err, ERR_NOT_FOUND, "there is no home folder; name one with --dest");
        if (!skill_install(folder, force, err))
            return false;
    }
    return any || err_set(err, ERR_INVALID,
                          "say for whom: --claude, --codex, --opencode, or --dest DIR\n\nSee '%s --help' for more "
                          "information",
                          args->name);
}

static const struct flag skills_flags[] = {
    {.name = "claude", .kind = FLAG_BOOL, .help = "For Claude Code: ~/.claude/skills"},
    {.name = "codex", .kind = FLAG_BOOL, .help = "For Codex: ~/.codex/skills"},
    {.name = "opencode", .kind = FLAG_BOOL, .help = "For OpenCode: ~/.config/opencode/skills"},
    {.name = "dest", .kind = FLAG_STRING, .arg = "DIR", .help = "In this folder of skills"},
    {.name = "force", .letter = 'f', .kind = FLAG_BOOL, .help = "Replace a file that was changed"},
    {0},
};

const struct command command_skills = {
    .name = "skills",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .summary = "Teach coding agents to use the models here",
    .example = "tug skills --claude",
    .flags = skills_flags,
    .group = "Use models",
    .daemon = DAEMON_NONE,
    .failure = "Failed to install skills",
    .differs = "The skill is Tug's own text.",
    .run = skills_run,
};
