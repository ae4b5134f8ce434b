/** `alt-las doctor`. */
import { type CertificateFlags, certificateIn, type ClientCertificate } from "../common/client-certificate.ts";
import { doctorReport } from "../doctor/doctor.ts";
import { doctorPage } from "../doctor/page.ts";
import type { DataDir } from "./data-dir.ts";
import { hostsOf } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { serverUrl } from "./remote/client.ts";

export interface DoctorFlags {
  readonly config: string | undefined;
  readonly url: string | undefined;
  /** Options of a certificate. */
  readonly flags: CertificateFlags;
  readonly dataDir: DataDir;
}

/** @returns the page, or with `json` what it is made of; and whether nothing is wrong */
export async function doctorCommand({ config, url, flags, dataDir }: DoctorFlags, json: boolean) {
  const { path, why, notes } = dataDir;
  const report = await doctorReport({
    dataDir: path,
    why,
    notes,
    config,
    // Port 0 is any, so nobody knows where a server would be.
    urlOf: ({ server }) => url ?? (server.port === 0 && hostsOf(server).length > 0 ? null : serverUrl(server)),
    ...shownCertificate(flags),
    environment: process.env,
  });
  return { text: json ? JSON.stringify(report, null, 2) : doctorPage(report), ok: report.ok };
}

/** A certificate that cannot be shown is one of the things that are wrong. */
function shownCertificate(flags: CertificateFlags): {
  readonly certificate?: ClientCertificate | undefined;
  readonly noCertificate?: string;
} {
  try {
    return { certificate: certificateIn(flags, process.env) };
  } catch (error) {
    if (!(error instanceof AltLasError)) throw error;
    return { noCertificate: error.message };
  }
}
