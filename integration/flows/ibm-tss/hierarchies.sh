tsshierarchychangeauth -hi o -pwdn owner
refused TPM_RC_BAD_AUTH tsscreateprimary -hi o -ecc nistp256
tsscreateprimary -hi o -ecc nistp256 -pwdp owner
tssclear -hi p
tsscreateprimary -hi o -ecc nistp256
tsschangeeps
tsschangepps
tsshierarchycontrol -hi p -he p -state 0
refused TPM_RC_HIERARCHY tsscreateprimary -hi p -ecc nistp256
