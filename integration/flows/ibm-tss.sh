# What the flows of the IBM TSS share. Each flow is run by `sh -eu` in an empty folder, on a TPM fresh from manufacture.

# refused TEXT COMMAND: it fails, and this is in what it says.
refused() {
    text=$1
    shift
    if "$@" >refused.out 2>&1; then
        echo "not refused: $*"
        exit 1
    fi
    if ! grep -q "$text" refused.out; then
        cat refused.out
        echo "refused for another reason than $text: $*"
        exit 1
    fi
}
