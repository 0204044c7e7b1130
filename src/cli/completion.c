/* cli/completion.c: `tug completion SHELL`: a script that lets the shell ask `tug __complete` at each Tab.
 *
 * The scripts know nothing of the commands: what they offer is always that of the program that runs.
 * They call the word that was typed, so a path or another name of the program works too. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

/* Needs nothing but bash 4. Words are cut from the line itself, since bash splits at `:` and `=`, and
 * what comes back is cut at the last of these, since bash then replaces only what is behind it. */
static const char completion_bash[] =
    "# bash completion for tug: source this, or put it in /etc/bash_completion.d/tug\n"
    "_tug() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} cur replaced cut directive i width=0 tab=$'\\t'\n"
    "    local -a words out\n"
    "    read -ra words <<<\"$line\"\n"
    "    [[ $line == *[[:space:]] ]] && words+=('')\n"
    "    cur=${words[-1]}\n"
    "    mapfile -t out < <(\"$1\" __complete \"${words[@]:1}\" 2>/dev/null)\n"
    "    COMPREPLY=()\n"
    "    [ ${#out[@]} -gt 0 ] || return\n"
    "    directive=${out[-1]#:}\n"
    "    unset 'out[-1]'\n"
    "    replaced=$cur\n"
    "    [[ $cur == --*=* ]] && replaced=${cur#*=}\n"
    "    cut=${replaced%\"${replaced##*[:=]}\"}\n"
    "    for i in \"${!out[@]}\"; do\n"
    "        out[i]=${out[i]#\"$cut\"}\n"
    "        line=${out[i]%%\"$tab\"*}\n"
    "        [ ${#line} -le $width ] || width=${#line}\n"
    "    done\n"
    "    for i in \"${!out[@]}\"; do\n"
    "        line=${out[i]%%\"$tab\"*}\n"
    "        # Descriptions only in a list that is shown (a second Tab), never in what is inserted.\n"
    "        if [ ${#out[@]} -gt 1 ] && [ \"${COMP_TYPE:-9}\" = 63 ] && [[ ${out[i]} == *\"$tab\"* ]]; then\n"
    "            printf -v line '%-*s  (%s)' \"$width\" \"$line\" \"${out[i]#*\"$tab\"}\"\n"
    "        fi\n"
    "        COMPREPLY+=(\"$line\")\n"
    "    done\n"
    "    ((directive & 2)) && compopt -o nospace\n"
    "    ((directive & 4)) && compopt +o default\n"
    "    if ((directive & 16)) && [ ${#COMPREPLY[@]} -eq 0 ]; then\n"
    "        compopt +o default -o dirnames\n"
    "    fi\n"
    "}\n"
    "complete -o default -F _tug tug\n";

static const char completion_zsh[] =
    "#compdef tug\n"
    "# zsh completion for tug: source this, or put it as _tug in a folder of $fpath\n"
    "_tug() {\n"
    "    local directive line value tab=$'\\t'\n"
    "    local -a out offers typed\n"
    "    typed=(\"${(@Q)words[2,CURRENT]}\")\n"
    "    out=(\"${(@f)$(\"${(Q)words[1]}\" __complete \"${typed[@]}\" 2>/dev/null)}\")\n"
    "    directive=${out[-1]#:}\n"
    "    [[ $directive == <-> ]] || return 1\n"
    "    out=(\"${(@)out[1,-2]}\")\n"
    "    [[ ${words[CURRENT]} == --*=* ]] && compset -P '*='\n"
    "    for line in \"${out[@]}\"; do\n"
    "        [[ -n $line ]] || continue\n"
    "        value=${line%%$tab*}\n"
    "        value=${value//:/\\\\:}\n"
    "        [[ $line == *$tab* ]] && value=\"$value:${line#*$tab}\"\n"
    "        offers+=(\"$value\")\n"
    "    done\n"
    "    if (( $#offers )); then\n"
    "        _describe tug offers\n"
    "    elif (( directive & 16 )); then\n"
    "        _files -/\n"
    "    elif (( ! (directive & 4) )); then\n"
    "        _files\n"
    "    fi\n"
    "}\n"
    "if [ \"$funcstack[1]\" = _tug ]; then\n"
    "    _tug \"$@\"\n"
    "else\n"
    "    compdef _tug tug\n"
    "fi\n";

static const char completion_fish[] =
    "# fish completion for tug: source this, or put it in ~/.config/fish/completions/tug.fish\n"
    "function __tug_complete\n"
    "    set -l words (commandline -opc)\n"
    "    set -l cur (commandline -ct)\n"
    "    set -l program $words[1]\n"
    "    set -e words[1]\n"
    "    set -l out ($program __complete $words \"$cur\" 2>/dev/null)\n"
    "    test (count $out) -gt 0; or return\n"
    "    set -l directive (string replace : '' -- $out[-1])\n"
    "    set -e out[-1]\n"
    "    set -l before (string match -r -- '^--[^=]*=' \"$cur\")\n"
    "    for line in $out\n"
    "        printf '%s%s\\n' \"$before\" $line\n"
    "    end\n"
    "    if test (count $out) -eq 0\n"
    "        switch $directive\n"
    "            case 0\n"
    "                __fish_complete_path (string replace -r -- '^--[^=]*=' '' \"$cur\")\n"
    "            case 16\n"
    "                __fish_complete_directories (string replace -r -- '^--[^=]*=' '' \"$cur\")\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c tug -e\n"
    "complete -c tug -f -a '(__tug_complete)'\n";

static bool completion_run(struct command_args *args, int *ret_exit, struct err *err)
{
    static const struct {
        const char *shell, *script;
    } scripts[] = {{"bash", completion_bash}, {"zsh", completion_zsh}, {"fish", completion_fish}};
    (void)ret_exit;
    (void)err;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        if (strcmp(scripts[i].shell, args->argv[0]) == 0)
            fputs(scripts[i].script, stdout);
    return true;
}

const struct command command_completion = {
    .name = "completion",
    .args = "SHELL",
    .min_args = 1,
    .max_args = 1,
    .choices = "bash|zsh|fish",
    .summary = "Print a script that completes tug's commands",
    .about = "bash:  source <(tug completion bash)\n"
             "zsh:   source <(tug completion zsh), after compinit\n"
             "fish:  tug completion fish | source\n"
             "Under `docker model` it is the Docker CLI's own script that completes: docker completion SHELL.",
    .example = "tug completion bash",
    .group = "The daemon",
    .daemon = DAEMON_NONE,
    .run = completion_run,
    .own = true,
};
