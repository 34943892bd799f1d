//! lvm2's opinion of what thinvol did.

use anyhow::Result;

use super::Ctx;

impl Ctx {
    /// Asks lvm2 everything it can say about `vg`; any complaint is an error.
    pub fn oracle(&self, vg: &str) -> Result<()> {
        self.lvm(&format!("vgck {vg}"))?;
        self.lvm(&format!("lvs -a -o all {vg}"))?;
        self.lvm(&format!("vgs -o all {vg}"))?;
        self.lvm("pvs -a -o all")?;
        self.lvm(&format!("vgcfgbackup -f {}/oracle.vg {vg}", self.dir().display()))?;
        Ok(())
    }

    /// Deactivates `vg`, checks the metadata of its thin pools, and activates everything again.
    pub fn reactivate(&self, vg: &str) -> Result<()> {
        self.lvm(&format!("vgchange -an {vg}"))?;
        let pools = self.lvm(&format!("lvs --noheadings -a -o lv_name -S segtype=thin-pool {vg}"))?;
        for pool in pools.split_whitespace() {
            // A component may be activated alone, read-only, while its pool is not.
            self.ok(&format!("lvchange --yes -ay {vg}/{pool}_tmeta"))?;
            self.ok(&format!("thin_check {}", self.dev(vg, &format!("{pool}_tmeta")).display()))?;
            self.lvm(&format!("lvchange -an {vg}/{pool}_tmeta"))?;
        }
        self.lvm(&format!("vgchange -ay {vg}"))?;
        Ok(())
    }
}
