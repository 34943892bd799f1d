//! Checks by lvm2 of what thinvol did.

use anyhow::Result;

use super::Ctx;

impl Ctx {
    /// Runs a changing command of thinvol on [`Ctx::vg`], which must succeed, and asks lvm2 right after it. Returns
    /// what the command said.
    pub fn change(&self, arguments: &str) -> Result<String> {
        let said = self.thinvol_ok(arguments)?;
        self.oracle(self.vg())?;
        Ok(said)
    }

    /// Has lvm2 report and check all of `vg`; any complaint is an error. One process runs all commands: under emulation
    /// the start of a program costs more than the command.
    pub fn oracle(&self, vg: &str) -> Result<()> {
        let script = self.dir().join("oracle.lvm");
        let copy = self.dir().join("oracle.vg");
        let questions = [
            format!("vgck {vg}"),
            format!("lvs -a -o all {vg}"),
            format!("vgs -o all {vg}"),
            "pvs -a -o all".to_owned(),
            format!("vgcfgbackup -f {} {vg}", copy.display()),
        ];
        std::fs::write(&script, format!("#!/sbin/lvm\n{}\n", questions.join("\n")))?;
        let _ = std::fs::remove_file(&copy);
        self.lvm(&format!("lvm {}", script.display()))?;
        // The last answer is there only if all were given.
        anyhow::ensure!(copy.exists(), "lvm2 did not answer all questions about {vg}");
        Ok(())
    }

    /// lvm2's values of `fields` for a volume, or for all in a volume group; sizes in bytes.
    pub fn fact(&self, of: &str, fields: &str) -> Result<String> {
        let line = format!("lvs --noheadings --units b --nosuffix -o {fields} {of}");
        Ok(self.lvm(&line)?.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Checks that no device is suspended.
    pub fn nothing_suspended(&self) -> Result<()> {
        let suspended = self.ok("dmsetup info -c --noheadings -o name,suspended")?;
        anyhow::ensure!(!suspended.contains("Suspended"), "left suspended: {suspended}");
        Ok(())
    }

    /// Checks that lvm2 has no complaint, also after everything was stopped and started again.
    pub fn agreed(&self, vg: &str) -> Result<()> {
        self.oracle(vg)?;
        self.ok("udevadm settle")?;
        self.reactivate(vg)?;
        self.oracle(vg)
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
