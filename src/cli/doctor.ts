/** `alt-las doctor`. */
import type { ClientCertificate } from "../common/client-certificate.ts";
import { doctorReport } from "../doctor/doctor.ts";
import { doctorPage } from "../doctor/page.ts";
import type { DataDir } from "./data-dir.ts";
import { hostsOf } from "../config/config.ts";
import { serverUrl } from "./remote/client.ts";

export interface DoctorFlags {
  readonly config: string | undefined;
  readonly url: string | undefined;
  readonly certificate: ClientCertificate | undefined;
  readonly dataDir: DataDir;
}

/** @returns the page, or with `json` what it is made of; and whether nothing is wrong */
export async function doctorCommand({ config, url, certificate, dataDir }: DoctorFlags, json: boolean) {
  const { path, why, notes } = dataDir;
  const report = await doctorReport({
    dataDir: path,
    why,
    notes,
    config,
    // Port 0 is any, so nobody knows where a server would be.
    urlOf: ({ server }) => url ?? (server.port === 0 && hostsOf(server).length > 0 ? null : serverUrl(server)),
    certificate,
    environment: process.env,
  });
  return { text: json ? JSON.stringify(report, null, 2) : doctorPage(report), ok: report.ok };
}
